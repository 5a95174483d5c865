/**
 * A coarse profile of the marks of a bitmap along the disk.
 */
import { countBits, getBit } from '../bytes/bits.ts';
import { type DirtyBitmap, granuleCount } from './dirty-bitmap.ts';

/** Larger parts are rounded to words of the bitmap. Words are counted faster, and the error is small. */
const LARGE = 2048;

/**
 * @returns the share of marked granules in each of `parts` equal parts of the disk. A disk with fewer
 * granules has fewer parts.
 */
export function dirtyProfile(bitmap: DirtyBitmap, parts: number): number[] {
  const granules = granuleCount(bitmap);
  const count = Math.min(parts, granules);
  const step = granules / count > LARGE ? 32 : 1;
  const startOf = (part: number) =>
    part === count ? granules : Math.floor((part * granules) / count / step) * step;
  return Array.from({ length: count }, (_, part) => {
    const [start, end] = [startOf(part), startOf(part + 1)];
    return marked(bitmap.bits, start, end, step) / (end - start);
  });
}

function marked(bits: Uint8Array, start: number, end: number, step: number): number {
  // Bits past the end of the disk are clear.
  if (step > 1) return countBits(bits.subarray(start / 8, Math.ceil(end / 8)));
  let count = 0;
  for (let index = start; index < end; index++) if (getBit(bits, index)) count++;
  return count;
}
