/**
 * A coarse profile of the marks of a bitmap along the disk.
 */
import { countSet } from '../bytes/chunked-bits.ts';
import type { DirtyBitmap } from './dirty-bitmap.ts';

/**
 * @returns the share of marked granules in each of `parts` equal parts of the disk. A disk with fewer
 * granules has fewer parts.
 */
export function dirtyProfile({ bits }: DirtyBitmap, parts: number): number[] {
  const count = Math.min(parts, bits.bitCount);
  const startOf = (part: number) => Math.floor((part * bits.bitCount) / count);
  return Array.from({ length: count }, (_, part) => {
    const [start, end] = [startOf(part), startOf(part + 1)];
    return countSet(bits, start, end) / (end - start);
  });
}
