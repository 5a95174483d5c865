/**
 * WebAssembly kernels: small programs for the loops that process most bytes. Each has a TypeScript twin, for
 * processors without vectors.
 */
import { alignUp, divideUp } from './align.ts';

/** The part of the global object that this module uses. TypeScript declares it only with the DOM. */
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => object;
  readonly Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
  readonly CompileError: new () => Error;
};

const PAGE_BYTES = 65536;
/** Arrays are padded to whole vectors. */
const ALIGNMENT = 16;

const modules = new Map<string, object>();

export interface Kernel<Exports> {
  /** In the memory of the kernel, in this order. */
  readonly arrays: Uint8Array<ArrayBuffer>[];
  /**
   * undefined if such a memory is not possible: a processor without vectors, a limit on the address space.
   */
  readonly exports: Exports | undefined;
}

/**
 * A kernel with adjacent zeroed arrays, aligned to 16 bytes. Untouched pages cost nothing. Without a kernel
 * they are ordinary arrays.
 *
 * @param code of the kernel, in base64
 */
export function startKernel<Exports extends object>(
  code: string,
  lengths: readonly number[],
): Kernel<Exports> {
  const sizes = lengths.map((length) => alignUp(length, ALIGNMENT));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const { buffer, exports } = instantiate(code, total) ?? { buffer: new ArrayBuffer(total) };
  let offset = 0;
  const arrays = lengths.map((length, index) => {
    const array = new Uint8Array(buffer, offset, length);
    offset += sizes[index]!;
    return array;
  });
  return { arrays, exports: exports as Exports | undefined };
}

function instantiate(
  code: string,
  lengthBytes: number,
): { buffer: ArrayBuffer; exports: object } | undefined {
  try {
    const module = modules.get(code) ?? new WebAssembly.Module(Buffer.from(code, 'base64'));
    modules.set(code, module);
    const pages = divideUp(lengthBytes, PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const { exports } = new WebAssembly.Instance(module, { kernel: { memory } });
    return { buffer: memory.buffer, exports };
  } catch (error) {
    if (error instanceof WebAssembly.CompileError || error instanceof RangeError) return undefined;
    throw error;
  }
}
