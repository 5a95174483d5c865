/** The stored WebAssembly code matches its source, and the program runs it where it can. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import wabt from 'wabt';
import { COUNT_KERNEL_CODE } from '../../../src/bytes/count-kernel-code.ts';
import { startKernel } from '../../../src/bytes/kernel.ts';
import { NUMBER_KERNEL_CODE } from '../../../src/bytes/number-kernel-code.ts';
import { L2_KERNEL_CODE } from '../../../src/format/l2-kernel-code.ts';

const kernels = [
  { path: 'bytes/count-kernel', code: COUNT_KERNEL_CODE },
  { path: 'bytes/number-kernel', code: NUMBER_KERNEL_CODE },
  { path: 'format/l2-kernel', code: L2_KERNEL_CODE },
];

describe.each(kernels)('$path', ({ path, code }) => {
  test('has the stored code that its source gives (npm run kernel)', async () => {
    const source = await readFile(new URL(`../../../src/${path}.wat`, import.meta.url), 'utf8');
    const { parseWat } = await wabt();
    const { buffer } = parseWat(path, source).toBinary({});
    expect(Buffer.from(code, 'base64').equals(buffer)).toBe(true);
  });

  test('runs here', () => {
    expect(startKernel(code, [1]).exports).toBeDefined();
  });

  test('has zeroed, aligned and separate arrays in one memory', () => {
    const lengths = [1, 16, 100_000, 17];
    const { arrays } = startKernel(code, lengths);
    expect(arrays.map(({ length }) => length)).toEqual(lengths);
    let end = 0;
    for (const array of arrays) {
      expect(array.buffer).toBe(arrays[0]!.buffer);
      expect(array.every((byte) => byte === 0)).toBe(true);
      expect(array.byteOffset % 16).toBe(0);
      expect(array.byteOffset).toBeGreaterThanOrEqual(end);
      end = array.byteOffset + array.length;
    }
  });

  test('is left out if its memory would be too large, and the arrays are ordinary ones', () => {
    const { arrays, exports } = startKernel(code, [2 ** 32, 8]);
    expect(arrays.map(({ length }) => length)).toEqual([2 ** 32, 8]);
    expect(exports).toBeUndefined();
  });
});

test('code with instructions that the processor does not have is left out', () => {
  const unknown = Buffer.from(L2_KERNEL_CODE, 'base64');
  unknown.fill(0xff, 100);
  expect(startKernel(unknown.toString('base64'), [1]).exports).toBeUndefined();
});
