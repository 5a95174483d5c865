/**
 * Cuts a bitmap into clusters for storage. A part that is all clear or all set needs no cluster.
 */
import { divideUp } from '../bytes/align.ts';
import { findBit, skipBytes } from '../bytes/bits.ts';
import { bytesBetween, type Chunk } from '../bytes/chunked-bits.ts';
import type { DirtyBitmap } from './dirty-bitmap.ts';

/**
 * Returns the content of each entry of the bitmap table: all zeros, all ones, or a cluster with these bytes.
 * A cluster is a view of the bitmap where possible.
 */
export function encodeBitmap({ bits }: DirtyBitmap, clusterSizeBytes: number): Chunk[] {
  const pieces: Chunk[] = [];
  const bitsEach = clusterSizeBytes * 8;
  for (let start = 0; start < bits.bitCount; start += bitsEach) {
    const count = Math.min(bitsEach, bits.bitCount - start);
    const piece = bytesBetween(bits, start / 8, start / 8 + divideUp(count, 8));
    pieces.push(typeof piece === 'object' ? encodePiece(piece, count, clusterSizeBytes) : piece);
  }
  return pieces;
}

function encodePiece(bytes: Uint8Array, count: number, clusterSizeBytes: number): Chunk {
  if (skipBytes(bytes, 0, 0, bytes.length) === bytes.length) return 'zeros';
  if (findBit(bytes, 0, 0, count) === count) return 'ones';
  return padded(bytes, clusterSizeBytes);
}

function padded(bytes: Uint8Array, lengthBytes: number): Uint8Array {
  if (bytes.length === lengthBytes) return bytes;
  const whole = new Uint8Array(lengthBytes);
  whole.set(bytes);
  return whole;
}
