/**
 * How much of each part of a disk is dirty.
 */
import { countSet, hasBit } from '../bytes/chunked-bits.ts';
import { UsageError } from '../errors.ts';
import type { DirtyBitmap } from './dirty-bitmap.ts';

/**
 * The dirty share of each of `partCount` equal parts of the disk. Only a part that is clean throughout has 0,
 * and only one that is dirty throughout has 1.
 *
 * @throws UsageError unless `partCount` is a whole number from 1
 */
export function dirtyShares(
  { bits, virtualSizeBytes, granularityBits }: DirtyBitmap,
  partCount: number,
): number[] {
  if (!(Number.isSafeInteger(partCount) && partCount >= 1)) {
    throw new UsageError(`number of parts is ${partCount}, must be a whole number from 1`);
  }
  // The unit is a byte divided by the number of parts, so every border is a whole number. In this unit, the
  // size of a part is that of the disk in bytes.
  const partSize = virtualSizeBytes;
  const granuleSize = 2 ** granularityBits * partCount;
  const shares: number[] = [];
  let start = { granule: 0, dirtyInside: 0 };
  for (let part = 1; part <= partCount; part++) {
    const end = border(part);
    const dirty = countSet(bits, start.granule, end.granule) * granuleSize;
    shares.push(partSize === 0 ? 0 : (dirty + end.dirtyInside - start.dirtyInside) / partSize);
    start = end;
  }
  return shares;

  /** The granule in which a part begins, and its dirty size before that part. */
  function border(part: number): { granule: number; dirtyInside: number } {
    const at = part * partSize;
    const granule = Math.floor(at / granuleSize);
    const inside = at % granuleSize;
    return { granule, dirtyInside: inside > 0 && hasBit(bits, granule) ? inside : 0 };
  }
}
