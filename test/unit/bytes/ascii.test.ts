import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asciiPiece, writeDecimal, writeDecimalPadded, writePiece } from '../../../src/bytes/ascii.ts';

const written = (write: (out: DataView, at: number) => number) => {
  const out = new Uint8Array(64);
  const end = write(new DataView(out.buffer), 3);
  expect([...out.subarray(0, 3), ...out.subarray(end)].every((byte) => byte === 0)).toBe(true);
  return Buffer.from(out.subarray(3, end)).toString();
};

const edges = Array.from({ length: 16 }, (_, power) => [
  10 ** power - 1,
  10 ** power,
  10 ** power + 1,
]).flat();

test.each([...edges, 9_007_199_254_740_991, 9_007_199_199_999_999])('writes %i as String does', (value) => {
  expect(written((out, at) => writeDecimal(out, at, Float64Array.of(value), 0))).toBe(String(value));
});

test('writes any whole number as String does', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.integer({ min: 0, max: 53 }), (large, bits) => {
      const value = Math.floor(large / 2 ** bits);
      expect(written((out, at) => writeDecimal(out, at, Float64Array.of(value), 0))).toBe(String(value));
      expect(written((out, at) => writeDecimalPadded(out, at, Float64Array.of(value), 0))).toBe(
        String(value).padStart(16),
      );
    }),
    { numRuns: 5000 },
  );
});

test('writes text unchanged', () => {
  expect(written((out, at) => writePiece(out, at, asciiPiece('a piece')))).toBe('a piece');
});
