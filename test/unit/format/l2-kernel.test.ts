/** The stored WebAssembly code matches its source, and the tool runs it. */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import wabt from 'wabt';
import { kernelArrays, kernelOf } from '../../../src/format/l2-kernel.ts';
import { L2_KERNEL_CODE } from '../../../src/format/l2-kernel-code.ts';

test('the stored code is l2-kernel.wat, assembled (npm run kernel)', async () => {
  const source = await readFile(new URL('../../../src/format/l2-kernel.wat', import.meta.url), 'utf8');
  const { parseWat } = await wabt();
  const { buffer } = parseWat('l2-kernel.wat', source).toBinary({});
  expect(Buffer.from(L2_KERNEL_CODE, 'base64').equals(buffer)).toBe(true);
});

test('arrays that are too large for the memory of a kernel are ordinary ones', () => {
  const [large, small] = kernelArrays(2 ** 32, 8);
  expect([large?.length, small?.length]).toEqual([2 ** 32, 8]);
  expect(kernelOf(large!)).toBeUndefined();
});

test('arrays for a kernel are zeroed, aligned and separate, and share one kernel', () => {
  const lengths = [1, 16, 100_000, 17];
  const arrays = kernelArrays(...lengths);
  expect(arrays.map(({ length }) => length)).toEqual(lengths);
  let end = 0;
  for (const array of arrays) {
    expect(array.every((byte) => byte === 0)).toBe(true);
    expect(array.byteOffset % 16).toBe(0);
    expect(array.byteOffset).toBeGreaterThanOrEqual(end);
    end = array.byteOffset + array.length;
    expect(kernelOf(array)).toBeDefined();
    expect(kernelOf(array)).toBe(kernelOf(arrays[0]!));
  }
  expect(kernelOf(kernelArrays(1)[0]!)).not.toBe(kernelOf(arrays[0]!));
  expect(kernelOf(new Uint8Array(16))).toBeUndefined();
});
