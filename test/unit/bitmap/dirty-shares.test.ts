import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cleanBitmap, markRange } from '../../../src/bitmap/dirty-bitmap.ts';
import { dirtyShares } from '../../../src/bitmap/dirty-shares.ts';
import { expectEqual } from '../../support/expect-equal.ts';

test('each part has the share of its bytes that dirty granules cover, even if its borders divide granules or bytes', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4000 }),
      fc.array(fc.tuple(fc.nat(5000), fc.nat(2000)), { maxLength: 5 }),
      fc.integer({ min: 9, max: 11 }),
      fc.integer({ min: 1, max: 40 }),
      (size, ranges, granularityBits, count) => {
        const bitmap = cleanBitmap(size, granularityBits);
        for (const [offset, length] of ranges) markRange(bitmap, offset, length);
        const granuleOf = (offset: number) => Math.floor(offset / 2 ** granularityBits);
        const isDirty = (byte: number) =>
          ranges.some(
            ([offset, length]) =>
              length > 0 &&
              offset < size &&
              granuleOf(offset) <= granuleOf(byte) &&
              granuleOf(byte) <= granuleOf(offset + length - 1),
          );
        const dirtyBytes = Array.from({ length: size }, (_, byte) => byte).filter(isDirty);
        const expected = Array.from({ length: count }, (_, part) => {
          const [start, end] = [part * size, (part + 1) * size];
          const covered = dirtyBytes.map((byte) =>
            Math.max(0, Math.min(end, (byte + 1) * count) - Math.max(start, byte * count)),
          );
          return covered.reduce((sum, each) => sum + each, 0) / size;
        });
        expectEqual(dirtyShares(bitmap, count), expected);
      },
    ),
  );
});

test('parts of a disk of 8 EiB are exact', () => {
  const bitmap = cleanBitmap(2 ** 63, 31);
  markRange(bitmap, 2 ** 62, 2 ** 62);
  markRange(bitmap, 0, 1);
  expect(dirtyShares(bitmap, 4)).toEqual([2 ** -30, 0, 1, 1]);
});
