/** Sets of bytes of a disk as lists of extents, with the arithmetic that expected values need. */

export interface Extent {
  start: number;
  length: number;
}

const endOf = ({ start, length }: Extent) => start + length;

/** Sorted, without empty extents, and with touching or overlapping ones merged. */
export function normalised(extents: readonly Extent[]): Extent[] {
  const merged: Extent[] = [];
  const sorted = extents.filter(({ length }) => length > 0).sort((a, b) => a.start - b.start);
  for (const extent of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && extent.start <= endOf(last)) {
      last.length = Math.max(endOf(last), endOf(extent)) - last.start;
    } else {
      merged.push({ start: extent.start, length: extent.length });
    }
  }
  return merged;
}

export function union(...sets: readonly Extent[][]): Extent[] {
  return normalised(sets.flat());
}

/** What both sets hold. */
export function intersection(a: readonly Extent[], b: readonly Extent[]): Extent[] {
  const [left, right] = [normalised(a), normalised(b)];
  const shared: Extent[] = [];
  for (let i = 0, j = 0; i < left.length && j < right.length; ) {
    const [one, other] = [left[i]!, right[j]!];
    const start = Math.max(one.start, other.start);
    const end = Math.min(endOf(one), endOf(other));
    if (start < end) shared.push({ start, length: end - start });
    if (endOf(one) < endOf(other)) i++;
    else j++;
  }
  return shared;
}

/** What is in `a` and not in `b`. */
export function difference(a: readonly Extent[], b: readonly Extent[]): Extent[] {
  const left = normalised(a);
  const everything = left.length === 0 ? 0 : endOf(left.at(-1)!);
  const gaps: Extent[] = [];
  let position = 0;
  for (const hole of normalised(b)) {
    if (hole.start > position) gaps.push({ start: position, length: hole.start - position });
    position = endOf(hole);
  }
  if (everything > position) gaps.push({ start: position, length: everything - position });
  return intersection(left, gaps);
}

export function isSubset(a: readonly Extent[], b: readonly Extent[]): boolean {
  return difference(a, b).length === 0;
}

/** Every granule that the set touches, as far as the disk goes. */
export function roundedOut(extents: readonly Extent[], granularity: number, diskSize: number): Extent[] {
  const granules = extents
    .filter(({ length }) => length > 0)
    .map((extent) => {
      const start = Math.floor(extent.start / granularity) * granularity;
      return { start, length: Math.ceil(endOf(extent) / granularity) * granularity - start };
    });
  return clipped(granules, diskSize);
}

export function clipped(extents: readonly Extent[], diskSize: number): Extent[] {
  return intersection(extents, [{ start: 0, length: diskSize }]);
}

export function totalLength(extents: readonly Extent[]): number {
  return normalised(extents).reduce((sum, { length }) => sum + length, 0);
}

/** One line per range that only one of the two sets has; empty where they are equal. */
export function disagreements(actual: readonly Extent[], expected: readonly Extent[]): string[] {
  const line = (word: string) => (extent: Extent) =>
    `${word} 0x${extent.start.toString(16)}…0x${endOf(extent).toString(16)} (${extent.length} bytes)`;
  return [
    ...difference(expected, actual).map(line('missing')),
    ...difference(actual, expected).map(line('unexpected')),
  ];
}
