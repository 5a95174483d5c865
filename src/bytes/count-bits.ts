/**
 * Counts the set bits of an array. The WebAssembly kernel (count-kernel.wat) does it for long arrays. It is
 * fast from the first call, while a JavaScript loop is fast only once it is compiled.
 */
import { alignUp } from './align.ts';
import type { ReadonlyBits } from './bits.ts';
import { COUNT_KERNEL_CODE } from './count-kernel-code.ts';
import { type Kernel, startKernel } from './kernel.ts';

/** The parameters are those of count-kernel.wat: addresses in the memory. */
interface CountKernel {
  count(at: number, end: number): number;
}

/** The kernel counts so much at once, in its own memory. */
const ROOM_BYTES = 64 * 1024;
/** Starting the kernel takes longer than counting a few shorter arrays without it. */
const LONG_BYTES = 4096;
const WORD_BYTES = 8;

let kernel: Kernel<CountKernel> | undefined;

export function countBits(bits: ReadonlyBits): number {
  if (bits.length < LONG_BYTES) return countEach(bits);
  kernel ??= startKernel<CountKernel>(COUNT_KERNEL_CODE, [ROOM_BYTES]);
  const { arrays, exports } = kernel;
  return exports === undefined ? countEach(bits) : countWith(exports, arrays[0]!, bits);
}

function countWith(exports: CountKernel, room: Uint8Array, bits: ReadonlyBits): number {
  const { byteOffset } = room;
  let count = 0;
  for (let at = 0; at < bits.length; at += ROOM_BYTES) {
    const piece = bits.subarray(at, at + ROOM_BYTES) as Uint8Array;
    const lengthBytes = alignUp(piece.length, WORD_BYTES);
    room.set(piece);
    room.fill(0, piece.length, lengthBytes);
    count += exports.count(byteOffset, byteOffset + lengthBytes);
  }
  return count;
}

/** Gives the same result without the kernel. */
export function countEach(bits: ReadonlyBits): number {
  let count = 0;
  let byte = 0;
  for (; (bits.byteOffset + byte) % 4 !== 0 && byte < bits.length; byte++) count += popcount32(bits[byte]!);
  if (byte === bits.length) return count;
  const words = new Uint32Array(bits.buffer, bits.byteOffset + byte, (bits.length - byte) >>> 2);
  for (let word = 0; word < words.length; word++) count += popcount32(words[word]!);
  for (byte += words.length * 4; byte < bits.length; byte++) count += popcount32(bits[byte]!);
  return count;
}

function popcount32(word: number): number {
  let x = word - ((word >>> 1) & 0x55555555);
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
