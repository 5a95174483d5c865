import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asciiPiece, writeDecimal, writeDecimalPadded, writePiece } from '../../../src/bytes/ascii.ts';
import { view } from '../../../src/bytes/struct.ts';
import { expectEqual } from '../../support/expect-equal.ts';

const written = (write: (out: DataView, at: number) => number) => {
  const out = Buffer.alloc(64);
  const end = write(view(out), 3);
  const text = out.toString('latin1', 3, end);
  out.fill(0, 3, end);
  expectEqual(out, Buffer.alloc(64));
  return text;
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
      const plain = written((out, at) => writeDecimal(out, at, Float64Array.of(value), 0));
      const padded = written((out, at) => writeDecimalPadded(out, at, Float64Array.of(value), 0));
      expectEqual([plain, padded], [String(value), String(value).padStart(16)]);
    }),
    { numRuns: 5000 },
  );
});

test('pads numbers with the same upper digits, one after the other', () => {
  for (const high of [1, 12_345, 1, 90_071_992, 0, 12_345]) {
    for (const low of [0, 7, 99_999_999]) {
      const value = high * 10 ** 8 + low;
      expect(written((out, at) => writeDecimalPadded(out, at, Float64Array.of(value), 0))).toBe(
        String(value).padStart(16),
      );
    }
  }
});

test('writes text unchanged', () => {
  expect(written((out, at) => writePiece(out, at, asciiPiece('a piece')))).toBe('a piece');
});
