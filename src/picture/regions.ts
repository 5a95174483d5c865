/**
 * The parts of a picture that say what they are when pointed at: cells, or runs of cells where there are many.
 */

export interface Region {
  /** Cells [first, end) in the order of the curve. */
  readonly first: number;
  readonly end: number;
}

const MAX_REGIONS = 1200;

/**
 * @param sameAll says of two cells whether they are uniform and alike, so that one text does for both
 * @returns regions that cover all cells in order: single cells where not too many, equal ones always joined
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
  for (let first = 0; first < cellCount; first += groupCells) {
    const end = Math.min(first + groupCells, cellCount);
    let alike = sameAll(first, first);
    for (let cell = first + 1; cell < end && alike; cell++) alike = sameAll(first, cell);
    const last = regions.at(-1);
    if (last !== undefined && uniform && alike && sameAll(last.first, first))
      regions[regions.length - 1] = { first: last.first, end };
    else regions.push({ first, end });
    uniform = alike;
  }
  return regions;
}
