/**
 * Byte counts for each cell of a grid, added up from a stream of extents.
 */
import type { Grid } from './grid.ts';

export type CellSums = Float64Array;

export function emptySums({ cellCount }: Grid): CellSums {
  return new Float64Array(cellCount);
}

/** Adds bytes [offset, offset + length) of the disk to their cells. */
export function addRange(
  sums: CellSums,
  { cellBytes, virtualSizeBytes }: Grid,
  offset: number,
  length: number,
): void {
  const end = Math.min(offset + length, virtualSizeBytes);
  for (let cell = Math.floor(offset / cellBytes), from = offset; from < end; cell++) {
    const to = Math.min(end, (cell + 1) * cellBytes);
    sums[cell]! += to - from;
    from = to;
  }
}

/** The sum over the cells from `first` to `end`, exclusive. */
export function sumOf(sums: CellSums, first = 0, end: number = sums.length): number {
  let sum = 0;
  for (let cell = first; cell < end; cell++) sum += sums[cell]!;
  return sum;
}
