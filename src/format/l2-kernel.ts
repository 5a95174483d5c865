/**
 * The fast pass over L2 tables as a WebAssembly program (l2-kernel.wat), and its memory.
 */
import { startKernel } from '../bytes/kernel.ts';
import { L2_KERNEL_CODE } from './l2-kernel-code.ts';

/** The parameters are those of l2-kernel.wat: addresses in the memory, and numbers. */
export type L2Kernel = (
  table: number,
  tableEnd: number,
  allocated: number,
  referenced: number,
  clusterBits: number,
  lastCluster: number,
) => 0 | 1;

/** The kernel of each memory. */
const kernels = new WeakMap<ArrayBufferLike, L2Kernel>();

/** Adjacent zeroed arrays in the memory of a kernel; ordinary arrays if such a memory is not possible. */
export function kernelArrays(...lengths: readonly number[]): Uint8Array<ArrayBuffer>[] {
  const { arrays, exports } = startKernel<{ scan: L2Kernel }>(L2_KERNEL_CODE, lengths);
  const [first] = arrays;
  if (first !== undefined && exports !== undefined) kernels.set(first.buffer, exports.scan);
  return arrays;
}

/** The kernel with access to an array, or undefined for an ordinary array. */
export function kernelOf({ buffer }: Uint8Array): L2Kernel | undefined {
  return kernels.get(buffer);
}
