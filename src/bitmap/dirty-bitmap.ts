/**
 * A dirty bitmap in memory: a bit for each granule of a disk.
 */
import { divideUp } from '../bytes/align.ts';
import {
  areAllSet,
  type ChunkedBits,
  clearFrom,
  copyOf,
  countMissing,
  countSet,
  halved,
  hasBit,
  newChunkedBits,
  setRange,
  subtract,
  unite,
  visitRuns,
} from '../bytes/chunked-bits.ts';

export interface DirtyBitmap {
  readonly virtualSizeBytes: number;
  readonly granularityBits: number;
  /** One bit for each granule. */
  readonly bits: ChunkedBits;
}

/**
 * Returns a bitmap without marks.
 *
 * @param chunkBytes see ChunkedBits
 */
export function cleanBitmap(
  virtualSizeBytes: number,
  granularityBits: number,
  chunkBytes?: number,
): DirtyBitmap {
  const bits = newChunkedBits(divideUp(virtualSizeBytes, 2 ** granularityBits), chunkBytes);
  return { virtualSizeBytes, granularityBits, bits };
}

/** Marks every granule that the range touches. The part past the end of the disk is ignored. */
export function markRange(bitmap: DirtyBitmap, offset: number, length: number): void {
  const granularityBytes = 2 ** bitmap.granularityBits;
  const end = Math.min(offset + length, bitmap.virtualSizeBytes);
  if (offset >= end) return;
  setRange(bitmap.bits, Math.floor(offset / granularityBytes), divideUp(end, granularityBytes));
}

/** Clears the marks of all granules that begin at or after `offset`. */
export function clearMarksFrom({ bits, granularityBits }: DirtyBitmap, offset: number): void {
  clearFrom(bits, divideUp(offset, 2 ** granularityBits));
}

/** Number of marked bytes of the disk. A granule cut by the end of the disk counts in part. */
export function dirtyBytes({ bits, virtualSizeBytes, granularityBits }: DirtyBitmap): number {
  const granularityBytes = 2 ** granularityBits;
  const bytes = countSet(bits) * granularityBytes;
  const beyond = bits.bitCount * granularityBytes - virtualSizeBytes;
  const lastIsDirty = bits.bitCount > 0 && hasBit(bits, bits.bitCount - 1);
  return lastIsDirty ? bytes - beyond : bytes;
}

/** Whether every byte of the disk is marked. */
export function isWholeDisk({ bits }: DirtyBitmap): boolean {
  return areAllSet(bits);
}

/** Visits the marked extents of the disk in ascending order. Adjacent granules are joined. */
export function visitDirtyExtents(
  { bits, virtualSizeBytes, granularityBits }: DirtyBitmap,
  visit: (offset: number, length: number) => void,
): void {
  const granularityBytes = 2 ** granularityBits;
  visitRuns(bits, (start, end) => {
    const offset = start * granularityBytes;
    visit(offset, Math.min(end * granularityBytes, virtualSizeBytes) - offset);
  });
}

/**
 * Adds the marks of `source` to `target`. The granularities may differ: marks are rounded outward. So may the
 * sizes of the disks.
 */
export function mergeInto(target: DirtyBitmap, source: DirtyBitmap): void {
  if (target.granularityBits >= source.granularityBits) unite(target.bits, coarsened(source, target));
  else refineInto(target, source);
}

/** The marks of `source` on the disk of `target`, at the granularity of `target`. */
function coarsened(source: DirtyBitmap, target: DirtyBitmap): ChunkedBits {
  const granularities = target.granularityBits - source.granularityBits;
  let { bits } = source;
  if (granularities > 0 && target.virtualSizeBytes < source.virtualSizeBytes) {
    bits = copyOf(bits);
    clearFrom(bits, divideUp(target.virtualSizeBytes, 2 ** source.granularityBits));
  }
  for (let each = 0; each < granularities; each++) bits = halved(bits);
  return bits;
}

function refineInto(target: DirtyBitmap, source: DirtyBitmap): void {
  const ratio = 2 ** (source.granularityBits - target.granularityBits);
  const commonBytes = Math.min(target.virtualSizeBytes, source.virtualSizeBytes);
  const granules = divideUp(commonBytes, 2 ** target.granularityBits);
  visitRuns(source.bits, (start, end) => {
    setRange(target.bits, start * ratio, Math.min(end * ratio, granules));
  });
}

/**
 * The number of granules that `wanted` marks and `have` does not. Both have the same disk size and
 * granularity.
 */
export function countMissingMarks(wanted: DirtyBitmap, have: DirtyBitmap): number {
  return countMissing(wanted.bits, have.bits);
}

/** The marks of `bitmap` without those of `other`. Both have the same disk size and granularity. */
export function withoutMarks(bitmap: DirtyBitmap, other: DirtyBitmap): DirtyBitmap {
  const bits = copyOf(bitmap.bits);
  subtract(bits, other.bits);
  return { ...bitmap, bits };
}

/**
 * The same marks at another granularity, rounded outward. Returns `source` itself if its granularity is
 * equal.
 */
export function resample(source: DirtyBitmap, granularityBits: number): DirtyBitmap {
  if (source.granularityBits === granularityBits) return source;
  const target = cleanBitmap(source.virtualSizeBytes, granularityBits, source.bits.chunkBytes);
  mergeInto(target, source);
  return target;
}
