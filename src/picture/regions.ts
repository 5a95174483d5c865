/**
 * The parts of a picture with a tooltip: single cells, or runs of cells if there are many.
 */
import type { Span } from '../bytes/range.ts';

/** Cells in the order of the curve. */
export type Region = Span;

const MAX_REGIONS = 1200;

/**
 * @param sameAll whether two cells are uniform and equal, so that one text fits both
 * @returns regions that cover all cells in order; single cells if there are not too many; equal cells are
 * joined
 */
export function regionsOf(cellCount: number, sameAll: (a: number, b: number) => boolean): Region[] {
  for (let groupCells = 1; ; groupCells *= 2) {
    const regions = grouped(cellCount, groupCells, sameAll);
    if (regions.length <= MAX_REGIONS) return regions;
  }
}

function grouped(
  cellCount: number,
  groupCells: number,
  sameAll: (a: number, b: number) => boolean,
): Region[] {
  const regions: Region[] = [];
  let uniform = false;
  for (let start = 0; start < cellCount; start += groupCells) {
    const end = Math.min(start + groupCells, cellCount);
    let alike = sameAll(start, start);
    for (let cell = start + 1; cell < end && alike; cell++) alike = sameAll(start, cell);
    const last = regions.at(-1);
    if (last !== undefined && uniform && alike && sameAll(last.start, start))
      regions[regions.length - 1] = { start: last.start, end };
    else regions.push({ start, end });
    uniform = alike;
  }
  return regions;
}
