/**
 * A small text picture of a disk. It shows the marked share of each part.
 */
import { formatSize } from '../../text/size.ts';

const SHADES = ['·', '░', '▒', '▓', '█'] as const;
const CELLS_PER_ROW = 64;
const ROWS = 4;

/**
 * @param dirtyShares the dirty share of each of some equal parts of the disk
 * @returns rows of cells: · is a part with no marks, █ a fully marked part
 */
export function diskPicture(
  virtualSizeBytes: number,
  dirtyShares: (partCount: number) => readonly number[],
): string {
  const cellCount = Math.min(CELLS_PER_ROW * ROWS, Math.max(1, Math.ceil(virtualSizeBytes / 512)));
  const cellBytes = virtualSizeBytes / cellCount;
  const shades = dirtyShares(cellCount).map(shade);
  const labelWidth = formatSize(virtualSizeBytes).length + 2;
  let text = '';
  for (let start = 0; start < cellCount; start += CELLS_PER_ROW) {
    const cells = shades.slice(start, start + CELLS_PER_ROW);
    text += `${formatSize(Math.round(start * cellBytes)).padStart(labelWidth)} ${cells.join('')}\n`;
  }
  return `${text}${''.padStart(labelWidth)} each character is ${formatSize(Math.round(cellBytes))}: · clean, ░▒▓ partly dirty, █ dirty\n`;
}

/** Even the smallest mark is visible. Only a fully marked cell gets the full block. */
export function shade(share: number): string {
  if (share === 0) return SHADES[0];
  if (share >= 1) return SHADES[4];
  return SHADES[1 + Math.min(2, Math.floor(share * 3))]!;
}
