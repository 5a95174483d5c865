/** Dirty bitmaps in memory, compared with a model that marks single bytes of a disk. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  cleanBitmap,
  type DirtyBitmap,
  dirtyBytes,
  dirtyExtents,
  granuleCount,
  isWholeDisk,
  markRange,
  mergeInto,
  resample,
  trimToDisk,
  withoutMarks,
} from '../../../src/bitmap/dirty-bitmap.ts';
import { getBit } from '../../../src/bytes/bits.ts';

/** Smaller than any that QEMU stores, so that a model byte by byte stays small; the arithmetic is the same. */
const anyGranularityBits = fc.integer({ min: 0, max: 8 });
const anySize = fc.integer({ min: 1, max: 3000 });
const anyRanges = fc.array(fc.record({ offset: fc.nat(3200), length: fc.nat(300) }), { maxLength: 8 });

const anyBitmap = (size: fc.Arbitrary<number> = anySize) =>
  fc.tuple(size, anyGranularityBits, anyRanges).map(([virtualSizeBytes, granularityBits, ranges]) => {
    const bitmap = cleanBitmap(virtualSizeBytes, granularityBits);
    for (const { offset, length } of ranges) markRange(bitmap, offset, length);
    return { bitmap, ranges };
  });

const twoOfOneDisk = anySize.chain((size) =>
  fc.tuple(anyBitmap(fc.constant(size)), anyBitmap(fc.constant(size))),
);

/** Byte by byte: whether the granule that it is in is marked. */
function bytesOf(bitmap: DirtyBitmap): boolean[] {
  return Array.from({ length: bitmap.virtualSizeBytes }, (_, byte) =>
    getBit(bitmap.bits, Math.floor(byte / 2 ** bitmap.granularityBits)),
  );
}

/** Marks each granule of which one byte is marked. */
function roundedOut(bytes: readonly boolean[], granularityBits: number): boolean[] {
  const granules = new Set(bytes.flatMap((marked, byte) => (marked ? [byte >> granularityBits] : [])));
  return bytes.map((_, byte) => granules.has(byte >> granularityBits));
}

const bitsPastTheEnd = (bitmap: DirtyBitmap) =>
  Array.from({ length: bitmap.bits.length * 8 - granuleCount(bitmap) }, (_, index) =>
    getBit(bitmap.bits, granuleCount(bitmap) + index),
  ).filter(Boolean).length;

describe('a dirty bitmap', () => {
  test('marks exactly the granules that a range touches', () => {
    fc.assert(
      fc.property(anyBitmap(), ({ bitmap, ranges }) => {
        const written = Array.from({ length: bitmap.virtualSizeBytes }, (_, byte) =>
          ranges.some(({ offset, length }) => byte >= offset && byte < offset + length),
        );
        expect(bytesOf(bitmap)).toEqual(roundedOut(written, bitmap.granularityBits));
        expect(bitsPastTheEnd(bitmap)).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test('counts the marked bytes of the disk, with the last granule only in part', () => {
    fc.assert(
      fc.property(anyBitmap(), ({ bitmap }) => {
        expect(dirtyBytes(bitmap)).toBe(bytesOf(bitmap).filter(Boolean).length);
      }),
      { numRuns: 300 },
    );
  });

  test('yields maximal extents in order up to the end of the disk', () => {
    fc.assert(
      fc.property(anyBitmap(), ({ bitmap }) => {
        const marked = bytesOf(bitmap);
        const found = Array<boolean>(bitmap.virtualSizeBytes).fill(false);
        let last = -1;
        for (const { offset, length } of dirtyExtents(bitmap)) {
          expect(offset).toBeGreaterThan(last);
          expect(length).toBeGreaterThan(0);
          found.fill(true, offset, offset + length);
          last = offset + length;
        }
        expect(found).toEqual(marked);
      }),
      { numRuns: 300 },
    );
  });

  test('of a disk of 0 bytes marks nothing', () => {
    const bitmap = cleanBitmap(0, 16);
    markRange(bitmap, 0, 10);
    expect([dirtyBytes(bitmap), [...dirtyExtents(bitmap)], granuleCount(bitmap)]).toEqual([0, [], 0]);
  });

  test('loses only the bits past the end of the disk if it is trimmed', () => {
    fc.assert(
      fc.property(anySize, anyGranularityBits, (size, granularityBits) => {
        const bitmap = cleanBitmap(size, granularityBits);
        bitmap.bits.fill(0xff);
        trimToDisk(bitmap);
        expect(dirtyBytes(bitmap)).toBe(size);
        expect(bitsPastTheEnd(bitmap)).toBe(0);
      }),
    );
  });

  test('counts granules and bytes of disks above 4 TiB', () => {
    const size = 5 * 2 ** 40 + 512;
    const bitmap = cleanBitmap(size, 31);
    markRange(bitmap, size - 1, 1);
    markRange(bitmap, 3 * 2 ** 40, 2 ** 32 + 1);
    expect([...dirtyExtents(bitmap)]).toEqual([
      { offset: 3 * 2 ** 40, length: 3 * 2 ** 31 },
      { offset: 5 * 2 ** 40, length: 512 },
    ]);
    expect(dirtyBytes(bitmap)).toBe(3 * 2 ** 31 + 512);
  });
});

test('the whole disk is marked if every granule is', () => {
  fc.assert(
    fc.property(anyBitmap(), fc.nat(3000), ({ bitmap }, at) => {
      expect(isWholeDisk(bitmap)).toBe(bytesOf(bitmap).every(Boolean));
      markRange(bitmap, 0, bitmap.virtualSizeBytes);
      expect(isWholeDisk(bitmap)).toBe(true);
      const granule = at % granuleCount(bitmap);
      bitmap.bits[granule >> 3]! &= ~(1 << (granule & 7));
      expect(isWholeDisk(bitmap)).toBe(false);
    }),
  );
});

test('the difference of two bitmaps marks the granules that only the first one marks', () => {
  fc.assert(
    fc.property(twoOfOneDisk, ([{ bitmap }, { bitmap: second }]) => {
      const other = resample(second, bitmap.granularityBits);
      const unwanted = bytesOf(other);
      const left = bytesOf(bitmap).map((marked, byte) => marked && !unwanted[byte]);
      expect(bytesOf(withoutMarks(bitmap, other))).toEqual(left);
    }),
    { numRuns: 50 },
  );
});

describe('a merge', () => {
  test('marks what either bitmap marks, rounded outwards', () => {
    fc.assert(
      fc.property(twoOfOneDisk, ([{ bitmap: target }, { bitmap: source }]) => {
        const before = bytesOf(target);
        const added = roundedOut(bytesOf(source), target.granularityBits);
        mergeInto(target, source);
        expect(bytesOf(target)).toEqual(before.map((marked, byte) => marked || added[byte]!));
        expect(bitsPastTheEnd(target)).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test('changes nothing the second time, and never changes the source', () => {
    fc.assert(
      fc.property(twoOfOneDisk, ([{ bitmap: target }, { bitmap: source }]) => {
        const sourceBefore = source.bits.slice();
        mergeInto(target, source);
        const once = target.bits.slice();
        mergeInto(target, source);
        expect(target.bits).toEqual(once);
        expect(source.bits).toEqual(sourceBefore);
      }),
    );
  });

  test('of disks of different sizes marks only the common part, with any granularities', () => {
    fc.assert(
      fc.property(anyBitmap(), anyBitmap(), ({ bitmap: target }, { bitmap: source }) => {
        const before = bytesOf(target);
        const have = bytesOf(source);
        const added = roundedOut(
          before.map((_, byte) => have[byte] ?? false),
          target.granularityBits,
        );
        mergeInto(target, source);
        expect(bytesOf(target)).toEqual(before.map((marked, byte) => marked || added[byte]!));
        expect(bitsPastTheEnd(target)).toBe(0);
      }),
    );
  });
});

test('a merge marks nothing after the end of the target, even in its last granule', () => {
  const source = cleanBitmap(4 * 512, 9);
  markRange(source, 3 * 512, 512);
  const target = cleanBitmap(3 * 512, 10);
  mergeInto(target, source);
  expect(dirtyBytes(target)).toBe(0);
});

describe('a change of the granularity', () => {
  test('loses no mark, and adds only what the rounding requires', () => {
    fc.assert(
      fc.property(anyBitmap(), anyGranularityBits, ({ bitmap }, granularityBits) => {
        const other = resample(bitmap, granularityBits);
        expect(other).toMatchObject({ granularityBits, virtualSizeBytes: bitmap.virtualSizeBytes });
        expect(bytesOf(other)).toEqual(roundedOut(bytesOf(bitmap), granularityBits));
      }),
      { numRuns: 300 },
    );
  });

  test('to the same granularity returns the same bitmap', () => {
    fc.assert(
      fc.property(anyBitmap(), ({ bitmap }) => {
        expect(resample(bitmap, bitmap.granularityBits)).toBe(bitmap);
      }),
    );
  });

  test('to a finer granularity and back has the same marks', () => {
    fc.assert(
      fc.property(anyBitmap(), fc.nat(8), ({ bitmap }, finer) => {
        const between = resample(bitmap, Math.max(0, bitmap.granularityBits - finer));
        expect(resample(between, bitmap.granularityBits)).toEqual(bitmap);
      }),
    );
  });
});
