/**
 * A small text picture of a disk. It shows the marked share of each part.
 */
import type { DumpColumns } from '../../operations/bitmaps/dump-bitmap.ts';
import { formatSize } from '../../text/size.ts';

const SHADES = ['·', '░', '▒', '▓', '█'] as const;
const CELLS_PER_ROW = 64;
const ROWS = 4;

/**
 * @param batches extents of the disk in ascending order; dirty ones are marked
 * @returns rows of cells: · is a part with no marks, █ a fully marked part
 */
export function diskPicture(virtualSizeBytes: number, batches: Iterable<DumpColumns>): string {
  const cellCount = Math.min(CELLS_PER_ROW * ROWS, Math.max(1, Math.ceil(virtualSizeBytes / 512)));
  const cellBytes = virtualSizeBytes / cellCount;
  // The unit is a byte divided by the number of cells, so every cell border is a whole number.
  const cellParts = virtualSizeBytes;
  const filledParts = new Float64Array(cellCount);
  /** The cell in which the last dirty extent ends. The next one mostly lies in the same. */
  let cell = 0;
  for (const { count, offsets, lengths, types } of batches) {
    for (let index = 0; index < count; index++) {
      if (types[index] === 0) continue;
      const start = offsets[index]! * cellCount;
      const end = start + lengths[index]! * cellCount;
      if (start >= (cell + 1) * cellParts) cell = Math.floor(start / cellParts);
      let from = start;
      while (end > (cell + 1) * cellParts) {
        filledParts[cell]! += (cell + 1) * cellParts - from;
        cell++;
        from = cell * cellParts;
      }
      filledParts[cell]! += end - from;
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

/** Even the smallest mark is visible. Only a fully marked cell gets the full block. */
export function shade(share: number): string {
  if (share === 0) return SHADES[0];
  if (share >= 1) return SHADES[4];
  return SHADES[1 + Math.min(2, Math.floor(share * 3))]!;
}
