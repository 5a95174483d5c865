/** The arithmetic of expected values, compared with a model that counts single bytes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  clipped,
  difference,
  disagreements,
  type Extent,
  intersection,
  isSubset,
  normalised,
  roundedOut,
  totalLength,
  union,
} from '../../support/extents.ts';

const diskSize = 64;
const anySet = fc.array(
  fc.record({ start: fc.nat(diskSize - 1), length: fc.nat(12) }).map(({ start, length }) => ({
    start,
    length: Math.min(length, diskSize - start),
  })),
  { maxLength: 8 },
);

function bytesOf(extents: readonly Extent[]): Set<number> {
  return new Set(extents.flatMap(({ start, length }) => Array.from({ length }, (_, index) => start + index)));
}

function extentsOf(bytes: Iterable<number>): Extent[] {
  return normalised([...bytes].map((start) => ({ start, length: 1 })));
}

describe('extents', () => {
  test('are sorted, separate and not empty after normalisation', () => {
    const scattered = [
      { start: 8, length: 4 },
      { start: 0, length: 2 },
      { start: 2, length: 3 },
      { start: 6, length: 0 },
      { start: 9, length: 1 },
    ];
    expect(normalised(scattered)).toEqual([
      { start: 0, length: 5 },
      { start: 8, length: 4 },
    ]);
  });

  test('have a union, an intersection and a difference byte by byte', () => {
    fc.assert(
      fc.property(anySet, anySet, (a, b) => {
        const [left, right] = [bytesOf(a), bytesOf(b)];
        expect(union(a, b)).toEqual(extentsOf(new Set([...left, ...right])));
        expect(intersection(a, b)).toEqual(extentsOf([...left].filter((byte) => right.has(byte))));
        const only = extentsOf([...left].filter((byte) => !right.has(byte)));
        expect(difference(a, b)).toEqual(only);
        expect(isSubset(a, b)).toBe(only.length === 0);
        expect(totalLength(a)).toBe(left.size);
      }),
    );
  });

  test('are rounded outwards to granules up to the end of the disk', () => {
    fc.assert(
      fc.property(
        anySet,
        fc.constantFrom(1, 2, 4, 8, 128),
        fc.integer({ min: 1, max: diskSize }),
        (a, g, size) => {
          const touched = new Set([...bytesOf(a)].map((byte) => Math.floor(byte / g)));
          const disk = Array.from({ length: size }, (_, byte) => byte);
          expect(roundedOut(a, g, size)).toEqual(
            extentsOf(disk.filter((byte) => touched.has(Math.floor(byte / g)))),
          );
          expect(clipped(a, size)).toEqual(extentsOf([...bytesOf(a)].filter((byte) => byte < size)));
        },
      ),
    );
  });

  test('have a list of the ranges in which they differ', () => {
    expect(disagreements([{ start: 0, length: 16 }], [{ start: 8, length: 16 }])).toEqual([
      'missing 0x10…0x18 (8 bytes)',
      'unexpected 0x0…0x8 (8 bytes)',
    ]);
    expect(
      disagreements(
        [
          { start: 0, length: 4 },
          { start: 4, length: 4 },
        ],
        [{ start: 0, length: 8 }],
      ),
    ).toEqual([]);
  });
});
