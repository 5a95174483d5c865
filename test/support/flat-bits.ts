/** The marks of a dirty bitmap as one array: granule n is bit n % 8 of byte n / 8. */
import { cleanBitmap, type DirtyBitmap, visitDirtyExtents } from '../../src/bitmap/dirty-bitmap.ts';
import { type ChunkedBits, hasBit, replaceBytes } from '../../src/bytes/chunked-bits.ts';
import type { ByteRange } from '../../src/bytes/range.ts';

/** Reads bit by bit. */
export function flatBits(bits: ChunkedBits): Uint8Array {
  const flat = new Uint8Array(Math.ceil(bits.bitCount / 8));
  for (let index = 0; index < bits.bitCount; index++) {
    if (hasBit(bits, index)) flat[index >> 3]! |= 1 << (index & 7);
  }
  return flat;
}

/** A bitmap with the given marks. */
export function bitmapOfBytes(
  virtualSizeBytes: number,
  granularityBits: number,
  bytes: Uint8Array,
): DirtyBitmap {
  const bitmap = cleanBitmap(virtualSizeBytes, granularityBits);
  replaceBytes(bitmap.bits, 0, bytes);
  return bitmap;
}

export function extentsOf(bitmap: DirtyBitmap): ByteRange[] {
  const extents: ByteRange[] = [];
  visitDirtyExtents(bitmap, (offset, length) => extents.push({ offset, length }));
  return extents;
}
