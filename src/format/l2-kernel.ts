/**
 * The fast pass over an L2 table as a WebAssembly program (l2-kernel.wat), and its memory.
 */
import { alignUp, divideUp } from '../bytes/align.ts';
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

/** The part of the global object that this module uses. TypeScript declares it only with the DOM. */
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => object;
  readonly Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Instance: new (
    module: object,
    imports: object,
  ) => { readonly exports: { readonly scan: L2Kernel } };
  readonly CompileError: new () => Error;
};

const PAGE_BYTES = 65536;
/** Arrays are padded to whole vectors. */
const ALIGNMENT = 16;

/** The kernel of each memory. */
const kernels = new WeakMap<ArrayBufferLike, L2Kernel>();
let module: object | undefined;

/**
 * Adjacent zeroed arrays, aligned to 16 bytes, in the memory of a kernel. Untouched pages cost nothing. If
 * such a memory is not possible (a processor without vectors, a limit on the address space), they are
 * ordinary arrays.
 */
export function kernelArrays(...lengths: readonly number[]): Uint8Array<ArrayBuffer>[] {
  const sizes = lengths.map((length) => alignUp(length, ALIGNMENT));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const buffer = kernelMemory(total) ?? new ArrayBuffer(total);
  let offset = 0;
  return lengths.map((length, index) => {
    const array = new Uint8Array(buffer, offset, length);
    offset += sizes[index]!;
    return array;
  });
}

/** The kernel with access to an array, or undefined for an ordinary array. */
export function kernelOf({ buffer }: Uint8Array): L2Kernel | undefined {
  return kernels.get(buffer);
}

function kernelMemory(lengthBytes: number): ArrayBuffer | undefined {
  try {
    module ??= new WebAssembly.Module(Buffer.from(L2_KERNEL_CODE, 'base64'));
    const pages = divideUp(lengthBytes, PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    kernels.set(memory.buffer, new WebAssembly.Instance(module, { scan: { memory } }).exports.scan);
    return memory.buffer;
  } catch (error) {
    if (error instanceof WebAssembly.CompileError || error instanceof RangeError) return undefined;
    throw error;
  }
}
