/**
 * A bitmap cut into clusters for storing; stretches that are all clear or all set need none.
 */
import { countBits, skipBytes } from '../bytes/bits.ts';
import { type DirtyBitmap, granuleCount } from './dirty-bitmap.ts';

/** What a table entry will stand for: no cluster, or one with these bytes. */
export type BitmapPiece = 'zeros' | 'ones' | Uint8Array;

/** One piece for each entry of the bitmap table. Pieces with bytes are views of the bitmap, except a short last one. */
export function encodeBitmap(bitmap: DirtyBitmap, clusterSizeBytes: number): BitmapPiece[] {
  const { bits } = bitmap;
  const pieces: BitmapPiece[] = [];
  for (let start = 0; start < bits.length; start += clusterSizeBytes) {
    const end = Math.min(start + clusterSizeBytes, bits.length);
    if (skipBytes(bits, 0, start, end) === end) pieces.push('zeros');
    else if (isFull(bitmap, start, end)) pieces.push('ones');
    else pieces.push(padded(bits.subarray(start, end), clusterSizeBytes));
  }
  return pieces;
}

/** Whether all granules of bytes [start, end) are marked; in the last byte only those on the disk count. */
function isFull(bitmap: DirtyBitmap, start: number, end: number): boolean {
  const { bits } = bitmap;
  const last = end - 1;
  const inLast = Math.min(8, granuleCount(bitmap) - last * 8);
  return skipBytes(bits, 0xff, start, last) === last && countBits(bits.subarray(last, end)) === inLast;
}

function padded(bytes: Uint8Array, lengthBytes: number): Uint8Array {
  if (bytes.length === lengthBytes) return bytes;
  const whole = new Uint8Array(lengthBytes);
  whole.set(bytes);
  return whole;
}
