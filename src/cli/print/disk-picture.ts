/**
 * A small picture of a disk in text: how much of each part is marked.
 */
import type { ByteRange } from '../../bytes/range.ts';
import { formatSize } from '../../text/size.ts';

const SHADES = ['·', '░', '▒', '▓', '█'] as const;
const CELLS_PER_ROW = 64;
const ROWS = 4;

/**
 * @param marked parts of the disk in ascending order
 * @returns rows of cells; · is a part with nothing marked, █ one that is marked all over
 */
export function diskPicture(virtualSizeBytes: number, marked: Iterable<ByteRange>): string {
  const cellCount = Math.min(CELLS_PER_ROW * ROWS, Math.max(1, Math.ceil(virtualSizeBytes / 512)));
  const cellBytes = virtualSizeBytes / cellCount;
  // In parts of a byte, as many to a byte as there are cells: so every border of a cell is a whole number.
  const cellParts = virtualSizeBytes;
  const filledParts = new Float64Array(cellCount);
  for (const { offset, length } of marked) {
    const start = offset * cellCount;
    const end = (offset + length) * cellCount;
    for (let cell = Math.floor(start / cellParts); cell < cellCount && cell * cellParts < end; cell++) {
      filledParts[cell]! += Math.min(end, (cell + 1) * cellParts) - Math.max(start, cell * cellParts);
    }
  }
  const labelWidth = formatSize(virtualSizeBytes).length + 2;
  let text = '';
  for (let start = 0; start < cellCount; start += CELLS_PER_ROW) {
    const cells = Array.from(filledParts.subarray(start, start + CELLS_PER_ROW), (parts) =>
      shade(parts / cellParts),
    );
    text += `${formatSize(Math.round(start * cellBytes)).padStart(labelWidth)} ${cells.join('')}\n`;
  }
  return `${text}${''.padStart(labelWidth)} each character is ${formatSize(Math.round(cellBytes))}: · clean, ░▒▓ partly dirty, █ dirty\n`;
}

/** The least mark shows, and only a full cell looks full. */
export function shade(share: number): string {
  if (share === 0) return SHADES[0];
  if (share >= 1) return SHADES[4];
  return SHADES[1 + Math.min(2, Math.floor(share * 3))]!;
}
