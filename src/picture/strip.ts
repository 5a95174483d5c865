/**
 * The cells in one row from the start of the disk to its end, in at most MAX_PARTS parts.
 */

const MAX_PARTS = 256;

/** @param classOf returns the common class of cells [first, end) */
export function stripOf(cellCount: number, classOf: (first: number, end: number) => string): string[] {
  const parts = Math.min(cellCount, MAX_PARTS);
  return Array.from({ length: parts }, (_, part) =>
    classOf(Math.floor((part * cellCount) / parts), Math.floor(((part + 1) * cellCount) / parts)),
  );
}
