/** A bitmap as clusters: all marks are kept, and uniform ranges need no cluster. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cleanBitmap, type DirtyBitmap, markRange } from '../../../src/bitmap/dirty-bitmap.ts';
import { encodeBitmap } from '../../../src/bitmap/encode-bitmap.ts';
import { expectEqual } from '../../support/expect-equal.ts';
import { flatBits } from '../../support/flat-bits.ts';

const anyCase = fc
  .record({
    granules: fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 4000, max: 13_000 })),
    shortBy: fc.nat(511),
    clusterSize: fc.constantFrom(8, 64, 512),
    chunkBytes: fc.constantFrom(4, 64, 256, 64 * 1024),
    marked: fc.array(fc.tuple(fc.nat(13_000), fc.oneof(fc.nat(20), fc.nat(9000))), { maxLength: 5 }),
  })
  .map(({ granules, shortBy, clusterSize, chunkBytes, marked }) => {
    const bitmap = cleanBitmap(granules * 512 - shortBy, 9, chunkBytes);
    for (const [start, count] of marked) markRange(bitmap, start * 512, count * 512);
    return { bitmap, clusterSize };
  });

/** The bits as a reader of the stored form finds them, before it trims them to the disk. */
function decoded(pieces: ReturnType<typeof encodeBitmap>, clusterSize: number): Buffer {
  return Buffer.concat(
    pieces.map((piece) =>
      typeof piece === 'object' ? piece : Buffer.alloc(clusterSize, piece === 'ones' ? 0xff : 0),
    ),
  );
}

/** 1 for each marked granule. */
function granulesOf(bits: Uint8Array, bitmap: DirtyBitmap): Uint8Array {
  const granules = new Uint8Array(bitmap.bits.bitCount);
  for (let index = 0; index < granules.length; index++)
    granules[index] = (bits[index >> 3]! >> (index & 7)) & 1;
  return granules;
}

describe('an encoded bitmap', () => {
  test('has one piece for each cluster of bits, with every mark in its position', () => {
    fc.assert(
      fc.property(anyCase, ({ bitmap, clusterSize }) => {
        const pieces = encodeBitmap(bitmap, clusterSize);
        expect(pieces).toHaveLength(Math.ceil(Math.ceil(bitmap.bits.bitCount / 8) / clusterSize));
        const found = granulesOf(decoded(pieces, clusterSize), bitmap);
        expectEqual(found, granulesOf(flatBits(bitmap.bits), bitmap));
      }),
      { numRuns: 300 },
    );
  });

  test('needs clusters only for a mixture of clear and set granules', () => {
    fc.assert(
      fc.property(anyCase, ({ bitmap, clusterSize }) => {
        const marks = granulesOf(flatBits(bitmap.bits), bitmap);
        const pieces = encodeBitmap(bitmap, clusterSize);
        const expected = pieces.map((_, index) => {
          const own = marks.subarray(index * clusterSize * 8, (index + 1) * clusterSize * 8);
          return !own.includes(1) ? 'zeros' : !own.includes(0) ? 'ones' : clusterSize;
        });
        expectEqual(
          pieces.map((piece) => (typeof piece === 'object' ? piece.length : piece)),
          expected,
        );
      }),
      { numRuns: 300 },
    );
  });

  test('has zeros after the end of the disk in a stored cluster', () => {
    fc.assert(
      fc.property(anyCase, ({ bitmap, clusterSize }) => {
        const last = encodeBitmap(bitmap, clusterSize).at(-1)!;
        if (typeof last !== 'object') return;
        const used = bitmap.bits.bitCount % (clusterSize * 8) || clusterSize * 8;
        const stray: number[] = [];
        for (let index = used; index < clusterSize * 8; index++)
          if (((last[index >> 3]! >> (index & 7)) & 1) === 1) stray.push(index);
        expect(stray).toEqual([]);
      }),
    );
  });

  test('shares the memory of the bitmap, so that adjacent clusters can be written at once', () => {
    const bitmap = cleanBitmap(2 * 512 * 8 * 512, 9);
    for (const offset of [0, 512 * 8 * 512]) markRange(bitmap, offset, 1);
    const pieces = encodeBitmap(bitmap, 512);
    const buffers = pieces.map((piece) => typeof piece === 'object' && piece.buffer);
    expect(buffers[0]).toBeInstanceOf(ArrayBuffer);
    expect(buffers[1]).toBe(buffers[0]);
  });

  test.each([1, 7, 8, 9, 33, 64, 65, 4095, 4096, 4097])('of %i marked granules is all ones', (granules) => {
    const bitmap = cleanBitmap(granules * 512, 9);
    markRange(bitmap, 0, granules * 512);
    expect(new Set(encodeBitmap(bitmap, 512))).toEqual(new Set(['ones']));
  });

  test.each([2, 8, 9, 64, 4096])('of %i granules, of which one is clear, has a cluster', (granules) => {
    for (const clear of [0, granules - 1]) {
      const bitmap = cleanBitmap(granules * 512, 9);
      markRange(bitmap, 0, clear * 512);
      markRange(bitmap, (clear + 1) * 512, granules * 512);
      expect(encodeBitmap(bitmap, 512)).toEqual([expect.any(Uint8Array)]);
    }
  });
});
