/**
 * A dirty bitmap in memory: a bit for each granule of a disk.
 */
import { divideUp } from '../bytes/align.ts';
import {
  clearBitsFrom,
  countBits,
  findBit,
  getBit,
  newBits,
  runsOfOnes,
  setBit,
  setBits,
  skipBytes,
} from '../bytes/bits.ts';
import type { ByteRange } from '../bytes/range.ts';

export interface DirtyBitmap {
  readonly virtualSizeBytes: number;
  readonly granularityBits: number;
  /** Granule n is bit n % 8 of byte n / 8, as in a stored bitmap. Bits past the end of the disk are clear. */
  readonly bits: Uint8Array;
}

/** Returns a bitmap without marks. */
export function cleanBitmap(virtualSizeBytes: number, granularityBits: number): DirtyBitmap {
  const bits = newBits(divideUp(virtualSizeBytes, 2 ** granularityBits));
  return { virtualSizeBytes, granularityBits, bits };
}

export function granuleCount({ virtualSizeBytes, granularityBits }: DirtyBitmap): number {
  return divideUp(virtualSizeBytes, 2 ** granularityBits);
}

/** Clears the bits past the end of the disk, which a stored bitmap may have set. */
export function trimToDisk(bitmap: DirtyBitmap): void {
  clearBitsFrom(bitmap.bits, granuleCount(bitmap));
}

/** Marks every granule that the range touches. The part past the end of the disk is ignored. */
export function markRange(bitmap: DirtyBitmap, offset: number, length: number): void {
  const granularityBytes = 2 ** bitmap.granularityBits;
  const end = Math.min(offset + length, bitmap.virtualSizeBytes);
  if (offset >= end) return;
  setBits(bitmap.bits, Math.floor(offset / granularityBytes), divideUp(end, granularityBytes));
}

/** Number of marked bytes of the disk. A granule cut by the end of the disk counts in part. */
export function dirtyBytes(bitmap: DirtyBitmap): number {
  const granularityBytes = 2 ** bitmap.granularityBits;
  const count = granuleCount(bitmap);
  const bytes = countBits(bitmap.bits) * granularityBytes;
  const beyond = count * granularityBytes - bitmap.virtualSizeBytes;
  const lastIsDirty = count > 0 && getBit(bitmap.bits, count - 1);
  return lastIsDirty ? bytes - beyond : bytes;
}

/** Whether every byte of the disk is marked. */
export function isWholeDisk(bitmap: DirtyBitmap): boolean {
  const count = granuleCount(bitmap);
  return findBit(bitmap.bits, 0, 0, count) === count;
}

/** Yields the marked extents of the disk in ascending order. Adjacent granules are joined. */
export function* dirtyExtents(bitmap: DirtyBitmap): Generator<ByteRange> {
  const granularityBytes = 2 ** bitmap.granularityBits;
  for (const { start, end } of runsOfOnes(bitmap.bits, 0, granuleCount(bitmap))) {
    const offset = start * granularityBytes;
    yield { offset, length: Math.min(end * granularityBytes, bitmap.virtualSizeBytes) - offset };
  }
}

/** Adds the marks of `source` to `target`. The granularities may differ: marks are rounded outward. */
export function mergeInto(target: DirtyBitmap, source: DirtyBitmap): void {
  const shift = target.granularityBits - source.granularityBits;
  // The two disks may have different sizes.
  const endBytes = Math.min(target.virtualSizeBytes, source.virtualSizeBytes);
  const granules = divideUp(endBytes, 2 ** source.granularityBits);
  if (shift === 0) unite(target.bits, source.bits);
  else if (shift > 0) coarsen(target.bits, source.bits, granules, 2 ** shift);
  else refine(target.bits, source.bits, divideUp(endBytes, 2 ** target.granularityBits), 2 ** -shift);
  trimToDisk(target);
}

function unite(target: Uint8Array, source: Uint8Array): void {
  const bytes = Math.min(target.length, source.length);
  for (let byte = skipBytes(source, 0, 0, bytes); byte < bytes; byte++) target[byte]! |= source[byte]!;
}

/** `ratio` granules of the source form one of the target. The rest of a marked target granule is skipped. */
function coarsen(target: Uint8Array, source: Uint8Array, granules: number, ratio: number): void {
  const bytes = Math.floor(granules / 8);
  for (let byte = skipBytes(source, 0, 0, bytes); byte < bytes; byte = skipBytes(source, 0, byte, bytes)) {
    if (ratio >= 8) {
      const bytesEach = ratio / 8;
      const granule = Math.floor(byte / bytesEach);
      setBit(target, granule);
      byte = Math.min((granule + 1) * bytesEach, bytes);
    } else {
      for (let bit = 0; bit < 8; bit++) {
        if ((source[byte]! & (1 << bit)) !== 0) setBit(target, Math.floor((byte * 8 + bit) / ratio));
      }
      byte++;
    }
  }
  for (let index = bytes * 8; index < granules; index++) {
    if (getBit(source, index)) setBit(target, Math.floor(index / ratio));
  }
}

/**
 * One granule of the source covers `ratio` granules of the target. Only the first `granules` of them exist.
 */
function refine(target: Uint8Array, source: Uint8Array, granules: number, ratio: number): void {
  const count = divideUp(granules, ratio);
  const bytes = divideUp(count, 8);
  for (
    let byte = skipBytes(source, 0, 0, bytes);
    byte < bytes;
    byte = skipBytes(source, 0, byte + 1, bytes)
  ) {
    for (let index = byte * 8; index < Math.min(byte * 8 + 8, count); index++) {
      if (getBit(source, index)) setBits(target, index * ratio, Math.min((index + 1) * ratio, granules));
    }
  }
}

/** The marks of `bitmap` without those of `other`. Both have the same disk size and granularity. */
export function withoutMarks(bitmap: DirtyBitmap, other: DirtyBitmap): DirtyBitmap {
  return { ...bitmap, bits: bitmap.bits.map((byte, index) => byte & ~other.bits[index]!) };
}

/**
 * The same marks at another granularity, rounded outward. Returns `source` itself if its granularity is
 * equal.
 */
export function resample(source: DirtyBitmap, granularityBits: number): DirtyBitmap {
  if (source.granularityBits === granularityBits) return source;
  const target = cleanBitmap(source.virtualSizeBytes, granularityBits);
  mergeInto(target, source);
  return target;
}
