/**
 * A dirty bitmap in memory: which granules of a disk are marked.
 */
import { divideUp } from '../bytes/align.ts';
import { clearBitsFrom, countBits, findBit, newBits, runsOfOnes, setBits, skipBytes } from '../bytes/bits.ts';

export interface DirtyBitmap {
  readonly virtualSizeBytes: number;
  readonly granularityBits: number;
  /** Granule n is bit n % 8 of byte n / 8, as a stored bitmap has it; bits past the end of the disk are clear. */
  readonly bits: Uint8Array;
}

/** Bytes [offset, offset + length) of the disk. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** A bitmap with nothing marked. */
export function cleanBitmap(virtualSizeBytes: number, granularityBits: number): DirtyBitmap {
  const bits = newBits(divideUp(virtualSizeBytes, 2 ** granularityBits));
  return { virtualSizeBytes, granularityBits, bits };
}

export function granuleCount({ virtualSizeBytes, granularityBits }: DirtyBitmap): number {
  return divideUp(virtualSizeBytes, 2 ** granularityBits);
}

/** Clears what a stored form may have set past the end of the disk. */
export function trimToDisk(bitmap: DirtyBitmap): void {
  clearBitsFrom(bitmap.bits, granuleCount(bitmap));
}

/** Marks every granule that the range touches; what lies past the end of the disk is left out. */
export function markRange(bitmap: DirtyBitmap, offset: number, length: number): void {
  const granularityBytes = 2 ** bitmap.granularityBits;
  const end = Math.min(offset + length, bitmap.virtualSizeBytes);
  if (offset >= end) return;
  setBits(bitmap.bits, Math.floor(offset / granularityBytes), divideUp(end, granularityBytes));
}

/** Bytes of the disk that are marked; a granule cut by the end of the disk counts in part. */
export function dirtyBytes(bitmap: DirtyBitmap): number {
  const granularityBytes = 2 ** bitmap.granularityBits;
  const count = granuleCount(bitmap);
  const bytes = countBits(bitmap.bits) * granularityBytes;
  const beyond = count * granularityBytes - bitmap.virtualSizeBytes;
  const lastIsDirty = count > 0 && (bitmap.bits[(count - 1) >>> 3]! & (1 << ((count - 1) & 7))) !== 0;
  return lastIsDirty ? bytes - beyond : bytes;
}

/** Whether every byte of the disk is marked. */
export function isWholeDisk(bitmap: DirtyBitmap): boolean {
  const count = granuleCount(bitmap);
  return findBit(bitmap.bits, 0, 0, count) === count;
}

/** Yields the marked parts of the disk in ascending order, each as long as it goes. */
export function* dirtyExtents(bitmap: DirtyBitmap): Generator<ByteRange> {
  const granularityBytes = 2 ** bitmap.granularityBits;
  for (const { start, end } of runsOfOnes(bitmap.bits, 0, granuleCount(bitmap))) {
    const offset = start * granularityBytes;
    yield { offset, length: Math.min(end * granularityBytes, bitmap.virtualSizeBytes) - offset };
  }
}

/** Adds all that `source` marks to `target`, whatever their granularities: rounded out, never in. */
export function mergeInto(target: DirtyBitmap, source: DirtyBitmap): void {
  if (target.granularityBits === source.granularityBits) {
    const words = Math.min(target.bits.length, source.bits.length);
    for (let byte = skipBytes(source.bits, 0, 0, words); byte < words; byte++)
      target.bits[byte]! |= source.bits[byte]!;
    trimToDisk(target);
    return;
  }
  for (const { offset, length } of dirtyExtents(source)) markRange(target, offset, length);
}

/** What is marked in `bitmap` and not in `other`, which is for the same disk at the same granularity. */
export function withoutMarks(bitmap: DirtyBitmap, other: DirtyBitmap): DirtyBitmap {
  return { ...bitmap, bits: bitmap.bits.map((byte, index) => byte & ~other.bits[index]!) };
}

/** The same marks at another granularity, rounded out; the bitmap itself where that is its own. */
export function resample(source: DirtyBitmap, granularityBits: number): DirtyBitmap {
  if (source.granularityBits === granularityBits) return source;
  const target = cleanBitmap(source.virtualSizeBytes, granularityBits);
  mergeInto(target, source);
  return target;
}
