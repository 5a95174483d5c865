/** Sizes are rounded to multiples, up to the largest exact integer. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { alignDown, alignUp, divideUp, isPowerOfTwo } from '../../../src/bytes/align.ts';

const anyPower = fc.integer({ min: 0, max: 31 }).map((bits) => 2 ** bits);

describe('rounding', () => {
  test('agrees with exact integer arithmetic for powers of two, also above 2^32', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 52 }), anyPower, (value, unit) => {
        const [v, u] = [BigInt(value), BigInt(unit)];
        expect(BigInt(divideUp(value, unit))).toBe((v + u - 1n) / u);
        expect(BigInt(alignUp(value, unit))).toBe(((v + u - 1n) / u) * u);
        expect(BigInt(alignDown(value, unit))).toBe((v / u) * u);
      }),
    );
  });

  test('does not change a multiple', () => {
    expect([alignUp(0, 8), alignUp(8, 8), alignUp(9, 8), alignDown(15, 8), divideUp(0, 512)]).toEqual([
      0, 8, 16, 8, 0,
    ]);
  });
});

test('powers of two are 1, 2, 4 … and nothing else', () => {
  const upTo1024 = Array.from({ length: 1025 }, (_, value) => value).filter(isPowerOfTwo);
  expect(upTo1024).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]);
  expect([0.5, -4, 2 ** 31 + 1, Number.NaN].map(isPowerOfTwo)).toEqual([false, false, false, false]);
  expect(isPowerOfTwo(2 ** 31)).toBe(true);
});
