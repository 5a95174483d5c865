/**
 * Divides a disk into cells and lays them out.
 */
import { type Curve, curveOver } from './curve.ts';

export interface Grid {
  readonly virtualSizeBytes: number;
  /** Bytes of the disk in one cell. The end of the disk may cut the last cell. */
  readonly cellBytes: number;
  readonly cellCount: number;
  /** May have more cells than the disk. The extra cells come last. */
  readonly curve: Curve;
}

const MAX_CELLS = 64 * 64;

/**
 * @param granuleBytes a power of two, the smallest cell size
 * @returns the grid with the most cells up to MAX_CELLS; the cell size is a power of two
 */
export function gridFor(virtualSizeBytes: number, granuleBytes: number): Grid {
  let cellBytes = granuleBytes;
  while (Math.ceil(virtualSizeBytes / cellBytes) > MAX_CELLS) cellBytes *= 2;
  const cellCount = Math.ceil(virtualSizeBytes / cellBytes);
  return { virtualSizeBytes, cellBytes, cellCount, curve: curveOver(...sidesFor(cellCount)) };
}

/** Bytes of the disk in the cells from `first` to `end`, exclusive. */
export function bytesIn({ virtualSizeBytes, cellBytes }: Grid, first: number, end: number): number {
  return Math.min(end * cellBytes, virtualSizeBytes) - first * cellBytes;
}

/**
 * A rectangle of at least `cellCount` cells. It has few extra cells, is not too long, and its curve has no
 * diagonal step.
 */
function sidesFor(cellCount: number): [width: number, height: number] {
  const shortest = Math.max(1, Math.ceil(Math.sqrt(cellCount)));
  let best: [number, number] = [shortest + (shortest % 2), shortest + (shortest % 2)];
  let bestCost = Number.POSITIVE_INFINITY;
  for (let width = shortest; width <= Math.ceil(shortest * 1.6); width++) {
    const height = Math.max(1, Math.ceil(cellCount / width));
    if (width % 2 === 1 && height % 2 === 0) continue;
    const cost = (4 * (width * height - cellCount)) / Math.max(1, cellCount) + 0.1 * (width / height - 1);
    if (cost < bestCost) [best, bestCost] = [[width, height], cost];
  }
  return best;
}
