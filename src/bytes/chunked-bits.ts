/**
 * A bit array in chunks. A chunk without a set bit, or with all bits set, takes no memory, and work on it is
 * one comparison. So the cost of a bitmap depends on its marks and not on the size of the disk.
 */
import { divideUp } from './align.ts';
import { type BitChanges, bitChanges } from './bit-changes.ts';
import { clearBitsFrom, countMissingBits, findBit, getBit, newBits, setBits, skipBytes } from './bits.ts';
import { countBits } from './count-bits.ts';
import type { Span } from './range.ts';

/** All bits are clear, all bits are set, or the bits themselves in the order of src/bytes/bits.ts. */
export type Chunk = 'zeros' | 'ones' | Uint8Array;

export interface ChunkedBits {
  readonly bitCount: number;
  /** A power of two, at least 4. */
  readonly chunkBytes: number;
  /** The last chunk may be shorter. Its bits after the last one are clear. */
  readonly chunks: Chunk[];
}

/** With the most common cluster size of images, a stored cluster of bits is one chunk. */
const CHUNK_BYTES = 64 * 1024;

/** Returns an array of clear bits. */
export function newChunkedBits(bitCount: number, chunkBytes = CHUNK_BYTES): ChunkedBits {
  const chunks = new Array<Chunk>(divideUp(bitCount, chunkBytes * 8)).fill('zeros');
  return { bitCount, chunkBytes, chunks };
}

/** The indexes of the bits in a chunk. */
function spanOf({ bitCount, chunkBytes }: ChunkedBits, index: number): Span {
  const start = index * chunkBytes * 8;
  return { start, end: Math.min(start + chunkBytes * 8, bitCount) };
}

/** The bytes of a chunk, to change them. */
function writable(bits: ChunkedBits, index: number): Uint8Array {
  const chunk = bits.chunks[index]!;
  if (typeof chunk === 'object') return chunk;
  const { start, end } = spanOf(bits, index);
  const bytes = newBits(end - start);
  if (chunk === 'ones') setBits(bytes, 0, end - start);
  bits.chunks[index] = bytes;
  return bytes;
}

export function hasBit({ chunks, chunkBytes }: ChunkedBits, index: number): boolean {
  const chunkBits = chunkBytes * 8;
  const chunk = chunks[Math.floor(index / chunkBits)]!;
  return typeof chunk === 'object' ? getBit(chunk, index % chunkBits) : chunk === 'ones';
}

/** Sets the bits in [start, end). Bits after the last one are ignored. */
export function setRange(bits: ChunkedBits, start: number, end: number): void {
  const { chunks, chunkBytes, bitCount } = bits;
  const limit = Math.min(end, bitCount);
  for (let at = start; at < limit; ) {
    const index = Math.floor(at / (chunkBytes * 8));
    const first = index * chunkBytes * 8;
    const last = Math.min(first + chunkBytes * 8, bitCount);
    const to = Math.min(limit, last);
    if (at === first && to === last) chunks[index] = 'ones';
    else if (chunks[index] !== 'ones') setBits(writable(bits, index), at - first, to - first);
    at = to;
  }
}

/** Clears every bit at and after `start`. */
export function clearFrom(bits: ChunkedBits, start: number): void {
  if (start >= bits.bitCount) return;
  const index = Math.floor(start / (bits.chunkBytes * 8));
  const span = spanOf(bits, index);
  bits.chunks.fill('zeros', start === span.start ? index : index + 1);
  if (bits.chunks[index] !== 'zeros') clearBitsFrom(writable(bits, index), start - span.start);
}

/** Replaces the bits from byte `at` on. Bits after the last one are ignored. */
export function replaceBytes(bits: ChunkedBits, at: number, bytes: Uint8Array): void {
  const { chunks, chunkBytes } = bits;
  for (let done = 0; done < bytes.length; ) {
    const index = Math.floor((at + done) / chunkBytes);
    if (index >= chunks.length) return;
    const start = at + done - index * chunkBytes;
    const part = bytes.subarray(done, done + chunkBytes - start);
    done += part.length;
    if (chunks[index] === 'zeros' && skipBytes(part, 0, 0, part.length) === part.length) continue;
    const target = writable(bits, index);
    if (start < target.length) target.set(part.subarray(0, target.length - start), start);
    const span = spanOf(bits, index);
    clearBitsFrom(target, span.end - span.start);
  }
}

/**
 * Bytes [start, end) of the array, as a view. The range is a part of one chunk or consists of whole chunks,
 * which become views of one buffer.
 */
export function bytesBetween(bits: ChunkedBits, start: number, end: number): Chunk {
  const { chunks, chunkBytes } = bits;
  const first = Math.floor(start / chunkBytes);
  const chunk = chunks[first]!;
  if (end - start <= chunkBytes) {
    const offset = start - first * chunkBytes;
    return typeof chunk === 'object' ? chunk.subarray(offset, offset + end - start) : chunk;
  }
  const after = divideUp(end, chunkBytes);
  if (typeof chunk === 'string' && chunks.slice(first, after).every((each) => each === chunk)) return chunk;
  const bytes = new Uint8Array(end - start);
  for (let index = first; index < after; index++) {
    const at = (index - first) * chunkBytes;
    const view = bytes.subarray(at, at + chunkBytes);
    if (chunks[index] !== 'zeros') view.set(writable(bits, index));
    chunks[index] = view;
  }
  return bytes;
}

/** Counts the set bits in [start, end). */
export function countSet(bits: ChunkedBits, start = 0, end = bits.bitCount): number {
  const limit = Math.min(end, bits.bitCount);
  let count = 0;
  for (let at = start; at < limit; ) {
    const index = Math.floor(at / (bits.chunkBytes * 8));
    const span = spanOf(bits, index);
    const to = Math.min(limit, span.end);
    const chunk = bits.chunks[index]!;
    if (chunk === 'ones') count += to - at;
    else if (chunk !== 'zeros') count += countBetween(chunk, at - span.start, to - span.start);
    at = to;
  }
  return count;
}

function countBetween(bits: Uint8Array, start: number, end: number): number {
  const firstWhole = Math.min(divideUp(start, 8) * 8, end);
  const lastWhole = Math.max(Math.floor(end / 8) * 8, firstWhole);
  let count = countBits(bits.subarray(firstWhole / 8, lastWhole / 8));
  for (let index = start; index < firstWhole; index++) if (getBit(bits, index)) count++;
  for (let index = lastWhole; index < end; index++) if (getBit(bits, index)) count++;
  return count;
}

export function areAllSet(bits: ChunkedBits): boolean {
  return bits.chunks.every((chunk, index) => {
    if (typeof chunk === 'string') return chunk === 'ones';
    const { start, end } = spanOf(bits, index);
    return findBit(chunk, 0, 0, end - start) === end - start;
  });
}

/** Counts the bits that are set in `wanted` and clear in `have`. Both have the same form. */
export function countMissing(wanted: ChunkedBits, have: ChunkedBits): number {
  let count = 0;
  for (const [index, chunk] of wanted.chunks.entries()) {
    const other = have.chunks[index]!;
    const { start, end } = spanOf(wanted, index);
    if (chunk === 'zeros' || other === 'ones') continue;
    if (other === 'zeros') count += countSet(wanted, start, end);
    else if (chunk === 'ones') count += end - start - countBits(other);
    else count += countMissingBits(chunk, other);
  }
  return count;
}

/** Sets in `target` the bits that are set in `source`. Both have chunks of the same size. */
export function unite(target: ChunkedBits, source: ChunkedBits): void {
  const common = Math.min(target.chunks.length, source.chunks.length);
  for (const [index, chunk] of source.chunks.slice(0, common).entries()) {
    const { start, end } = spanOf(source, index);
    if (chunk === 'zeros' || target.chunks[index] === 'ones') continue;
    if (chunk === 'ones') setRange(target, start, end);
    else uniteChunk(target, index, chunk);
  }
}

function uniteChunk(target: ChunkedBits, index: number, bits: Uint8Array): void {
  const { start, end } = spanOf(target, index);
  const into = writable(target, index);
  const bytes = Math.min(into.length, bits.length);
  for (let byte = skipBytes(bits, 0, 0, bytes); byte < bytes; byte++) into[byte]! |= bits[byte]!;
  clearBitsFrom(into, end - start);
}

/** Half as many bits. Each is set if one of two adjacent bits is. */
export function halved(bits: ChunkedBits): ChunkedBits {
  const { bitCount, chunkBytes, chunks } = bits;
  const half = newChunkedBits(divideUp(bitCount, 2), chunkBytes);
  for (const [index, chunk] of chunks.entries()) {
    const { start, end } = spanOf(bits, index);
    if (chunk === 'ones') setRange(half, start / 2, divideUp(end, 2));
    else if (chunk !== 'zeros') {
      const target = writable(half, Math.floor(index / 2));
      halveInto(target.subarray(((index % 2) * chunkBytes) / 2), chunk);
    }
  }
  return half;
}

/** For each byte, four bits: which of its pairs of bits have a set bit. */
const PAIRS = Uint8Array.from({ length: 256 }, (_, byte) => {
  let pairs = 0;
  for (let pair = 0; pair < 4; pair++) if (((byte >> (pair * 2)) & 0b11) !== 0) pairs |= 1 << pair;
  return pairs;
});

function halveInto(target: Uint8Array, bytes: Uint8Array): void {
  const whole = bytes.length >>> 1;
  for (let byte = 0; byte < whole; byte++) {
    target[byte] = PAIRS[bytes[byte * 2]!]! | (PAIRS[bytes[byte * 2 + 1]!]! << 4);
  }
  if (bytes.length % 2 === 1) target[whole] = PAIRS[bytes[whole * 2]!]!;
}

/** Clears in `target` the bits that are set in `other`. Both have the same form. */
export function subtract(target: ChunkedBits, other: ChunkedBits): void {
  for (const [index, chunk] of other.chunks.entries()) {
    if (chunk === 'zeros' || target.chunks[index] === 'zeros') continue;
    if (chunk === 'ones') target.chunks[index] = 'zeros';
    else {
      const from = writable(target, index);
      for (let byte = 0; byte < from.length; byte++) from[byte]! &= ~chunk[byte]!;
    }
  }
}

export function copyOf(bits: ChunkedBits): ChunkedBits {
  return { ...bits, chunks: bits.chunks.map((chunk) => (typeof chunk === 'object' ? chunk.slice() : chunk)) };
}

/** The indexes at which a bit differs from the previous bit, in ascending order. */
export function changesOf(bits: ChunkedBits): BitChanges {
  let index = 0;
  /** The bit before the chunk. */
  let last: 0 | 1 = 0;
  let inChunk: BitChanges | undefined;

  return {
    next(into) {
      for (; index < bits.chunks.length; index++) {
        const chunk = bits.chunks[index]!;
        const { start, end } = spanOf(bits, index);
        let found = 0;
        if (typeof chunk === 'object') {
          inChunk ??= bitChanges(chunk, end - start, last);
          found = inChunk.next(into);
          for (let at = 0; at < found; at++) into[at]! += start;
          if (found > 0) return found;
          inChunk = undefined;
          last = getBit(chunk, end - start - 1) ? 1 : 0;
        } else if (last !== (chunk === 'ones' ? 1 : 0)) {
          last = chunk === 'ones' ? 1 : 0;
          into[0] = start;
          return 1;
        }
      }
      return 0;
    },
  };
}

/** The number of changes that are searched at once. */
const BATCH = 4096;

/** Visits every maximal run of set bits [start, end). */
export function visitRuns(bits: ChunkedBits, visit: (start: number, end: number) => void): void {
  const changes = changesOf(bits);
  const found = new Float64Array(BATCH);
  let start = -1;
  for (let count = changes.next(found); count > 0; count = changes.next(found)) {
    for (let index = 0; index < count; index++) {
      if (start >= 0) visit(start, found[index]!);
      start = start >= 0 ? -1 : found[index]!;
    }
  }
  if (start >= 0) visit(start, bits.bitCount);
}
