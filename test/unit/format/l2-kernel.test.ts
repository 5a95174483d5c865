import { expect, test } from 'vitest';
import { kernelArrays, kernelOf } from '../../../src/format/l2-kernel.ts';

test('arrays that are too large for the memory of a kernel are ordinary ones', () => {
  const [large, small] = kernelArrays(2 ** 32, 8);
  expect([large?.length, small?.length]).toEqual([2 ** 32, 8]);
  expect(kernelOf(large!)).toBeUndefined();
});

test('arrays for a kernel share one kernel, which is theirs alone', () => {
  const arrays = kernelArrays(1, 16);
  for (const array of arrays) {
    expect(kernelOf(array)).toBeDefined();
    expect(kernelOf(array)).toBe(kernelOf(arrays[0]!));
  }
  expect(kernelOf(kernelArrays(1)[0]!)).not.toBe(kernelOf(arrays[0]!));
  expect(kernelOf(new Uint8Array(16))).toBeUndefined();
});
