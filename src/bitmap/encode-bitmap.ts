/**
 * Cuts a bitmap into clusters for storage. A part that is all clear or all set needs no cluster.
 */
import { countBits, skipBytes } from '../bytes/bits.ts';
import { type DirtyBitmap, granuleCount } from './dirty-bitmap.ts';

/** The content of one table entry: all zeros, all ones, or a cluster with these bytes. */
export type BitmapPiece = 'zeros' | 'ones' | Uint8Array;

/**
 * Returns one piece for each entry of the bitmap table. Pieces with bytes are views of the bitmap, except a
 * short last piece.
 */
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

/**
 * Whether all granules of bytes [start, end) are marked. In the last byte only granules on the disk count.
 */
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
