/**
 * Bit arrays in the byte order of a stored dirty bitmap: bit n is bit n % 8 of byte n / 8.
 */
import type { Span } from './range.ts';

const POPCOUNT = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
});

type Mutator = 'copyWithin' | 'fill' | 'reverse' | 'set' | 'sort';

/** A complete bit array for reading only. */
export type ReadonlyBits = Readonly<Omit<Uint8Array, Mutator | 'subarray'>> & {
  subarray(start?: number, end?: number): ReadonlyBits;
};

/** A zeroed array for `bitCount` bits. Untouched pages cost no memory. */
export function newBits(bitCount: number): Uint8Array {
  return new Uint8Array(Math.ceil(bitCount / 8));
}

export function getBit(bits: ReadonlyBits, index: number): boolean {
  return (bits[Math.floor(index / 8)]! & (1 << (index % 8))) !== 0;
}

export function setBit(bits: Uint8Array, index: number): void {
  bits[Math.floor(index / 8)]! |= 1 << (index % 8);
}

/** Sets the bits in [start, end). */
export function setBits(bits: Uint8Array, start: number, end: number): void {
  if (start >= end) return;
  const firstByte = Math.floor(start / 8);
  const lastByte = Math.floor((end - 1) / 8);
  const firstMask = (0xff << (start % 8)) & 0xff;
  const lastMask = 0xff >>> (7 - ((end - 1) % 8));
  if (firstByte === lastByte) {
    bits[firstByte]! |= firstMask & lastMask;
    return;
  }
  bits[firstByte]! |= firstMask;
  bits.fill(0xff, firstByte + 1, lastByte);
  bits[lastByte]! |= lastMask;
}

/** Clears every bit at and after `start`. */
export function clearBitsFrom(bits: Uint8Array, start: number): void {
  const byte = Math.floor(start / 8);
  if (byte >= bits.length) return;
  bits[byte]! &= 0xff >>> (8 - (start % 8));
  bits.fill(0, byte + 1);
}

/** Large enough to make the search for the next stretch cheap in comparison. */
const COUNTED_BYTES = 1024;

/** Counts the bits that are set in `wanted` and clear in `have`. Both arrays have the same length. */
export function countMissingBits(wanted: ReadonlyBits, have: ReadonlyBits): number {
  let count = 0;
  const { length } = wanted;
  for (let byte = skipBytes(wanted, 0, 0, length); byte < length; byte = skipBytes(wanted, 0, byte, length)) {
    const end = Math.min(byte + COUNTED_BYTES, length);
    for (; byte < end; byte++) count += POPCOUNT[wanted[byte]! & ~have[byte]! & 0xff]!;
  }
  return count;
}

/**
 * Each call of memcmp(3) costs as much as the comparison of some KiB. Small blocks then narrow the search.
 */
const BLOCK_SIZES = [64 * 1024, 4096, 512];
const BLOCKS_OF = {
  0: BLOCK_SIZES.map((size) => Buffer.alloc(size)),
  255: BLOCK_SIZES.map((size) => Buffer.alloc(size, 0xff)),
} as const;

/** The index of the first byte in [start, end) that differs from `value`, or `end`. */
export function skipBytes(bits: ReadonlyBits, value: 0 | 0xff, start: number, end: number): number {
  const first = skipWords(bits, value, start, Math.min(end, start + 64));
  if (first < start + 64) return first;
  // On long stretches, memcmp(3) is fast from the first call. A JavaScript loop is fast only once it is
  // compiled. The blocks begin at `start`, because the length of many arrays is a multiple of theirs.
  let byte = start;
  for (const block of BLOCKS_OF[value]) {
    const { length } = block;
    while (byte + length <= end && block.equals(bits.subarray(byte, byte + length) as Uint8Array)) {
      byte += length;
    }
  }
  return skipWords(bits, value, byte, end);
}

function skipWords(bits: ReadonlyBits, value: 0 | 0xff, start: number, end: number): number {
  let byte = start;
  while (byte < end && (bits.byteOffset + byte) % 4 !== 0) {
    if (bits[byte] !== value) return byte;
    byte++;
  }
  if (byte === end) return end;
  const words = new Uint32Array(bits.buffer, bits.byteOffset + byte, (end - byte) >>> 2);
  const wanted = value === 0 ? 0 : 0xffffffff;
  let word = 0;
  while (word < words.length && words[word] === wanted) word++;
  byte += word * 4;
  while (byte < end && bits[byte] === value) byte++;
  return byte;
}

/** The first index in [start, end) whose bit is `value`, or `end`. */
export function findBit(bits: ReadonlyBits, value: 0 | 1, start: number, end: number): number {
  let index = start;
  while (index < end && index % 8 !== 0) {
    if (getBit(bits, index) === (value === 1)) return index;
    index++;
  }
  if (index >= end) return end;
  const byte = skipBytes(bits, value === 1 ? 0 : 0xff, index / 8, Math.ceil(end / 8));
  index = byte * 8;
  while (index < end && getBit(bits, index) !== (value === 1)) index++;
  return Math.min(index, end);
}

/** Yields every maximal run of set bits in [start, end). */
export function* runsOfOnes(bits: ReadonlyBits, start: number, end: number): Generator<Span> {
  let from = findBit(bits, 1, start, end);
  while (from < end) {
    const to = findBit(bits, 0, from, end);
    yield { start: from, end: to };
    from = findBit(bits, 1, to, end);
  }
}
