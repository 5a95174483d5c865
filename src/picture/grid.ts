/**
 * How a disk is cut into cells, and how those are laid out.
 */
import { type Curve, curveOver } from './curve.ts';

export interface Grid {
  readonly virtualSizeBytes: number;
  /** What one cell stands for; the last one may be cut by the end of the disk. */
  readonly cellBytes: number;
  readonly cellCount: number;
  /** May have some cells more than the disk: those come last. */
  readonly curve: Curve;
}

const MAX_CELLS = 64 * 64;

/**
 * @param granuleBytes a power of two that no cell is smaller than
 * @returns cells of a power of two each, as many as fit
 */
export function gridFor(virtualSizeBytes: number, granuleBytes: number): Grid {
  let cellBytes = granuleBytes;
  while (Math.ceil(virtualSizeBytes / cellBytes) > MAX_CELLS) cellBytes *= 2;
  const cellCount = Math.ceil(virtualSizeBytes / cellBytes);
  return { virtualSizeBytes, cellBytes, cellCount, curve: curveOver(...sidesFor(cellCount)) };
}

/** Bytes of the disk in the cells from `first` up to, not including, `end`. */
export function bytesIn({ virtualSizeBytes, cellBytes }: Grid, first: number, end: number): number {
  return Math.min(end * cellBytes, virtualSizeBytes) - first * cellBytes;
}

/** A rectangle of at least that many cells: few left over, not too long, and no diagonal step in its curve. */
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
