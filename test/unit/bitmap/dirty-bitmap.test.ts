/** Dirty bitmaps in memory, compared with a model that marks single bytes of a disk. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  cleanBitmap,
  clearMarksFrom,
  countMissingMarks,
  type DirtyBitmap,
  dirtyBytes,
  isWholeDisk,
  markRange,
  mergeInto,
  resample,
  withoutMarks,
} from '../../../src/bitmap/dirty-bitmap.ts';
import { hasBit } from '../../../src/bytes/chunked-bits.ts';
import { expectEqual } from '../../support/expect-equal.ts';
import { extentsOf, flatBits } from '../../support/flat-bits.ts';

/** Smaller than any that QEMU stores, so that a model byte by byte stays small; the arithmetic is the same. */
const anyGranularityBits = fc.integer({ min: 0, max: 8 });
const anySize = fc.integer({ min: 1, max: 3000 });
const anyRanges = fc.array(fc.record({ offset: fc.nat(3200), length: fc.nat(300) }), { maxLength: 8 });

/** With the small ones a bitmap has many chunks, clear, full and mixed. */
const anyChunkBytes = fc.constantFrom(4, 16, 64 * 1024);

const bitmapOf = (size: fc.Arbitrary<number>, chunkBytes: number) =>
  fc.tuple(size, anyGranularityBits, anyRanges).map(([virtualSizeBytes, granularityBits, ranges]) => {
    const bitmap = cleanBitmap(virtualSizeBytes, granularityBits, chunkBytes);
    for (const { offset, length } of ranges) markRange(bitmap, offset, length);
    return { bitmap, ranges };
  });

const anyBitmap = () => anyChunkBytes.chain((chunkBytes) => bitmapOf(anySize, chunkBytes));

const twoBitmaps = (size: fc.Arbitrary<number>) =>
  anyChunkBytes.chain((chunkBytes) => fc.tuple(bitmapOf(size, chunkBytes), bitmapOf(size, chunkBytes)));

const twoOfOneDisk = anySize.chain((size) => twoBitmaps(fc.constant(size)));

/** Byte by byte: 1 if the granule that it is in is marked. */
function bytesOf({ bits, virtualSizeBytes, granularityBits }: DirtyBitmap): Uint8Array {
  const bytes = new Uint8Array(virtualSizeBytes);
  for (let granule = 0; granule < bits.bitCount; granule++)
    if (hasBit(bits, granule)) bytes.fill(1, granule << granularityBits, (granule + 1) << granularityBits);
  return bytes;
}

/** Marks each granule of which one byte is marked. */
function roundedOut(bytes: Uint8Array, granularityBits: number): Uint8Array {
  const rounded = new Uint8Array(bytes.length);
  const granule = 2 ** granularityBits;
  for (let start = 0; start < bytes.length; start += granule)
    if (bytes.subarray(start, start + granule).includes(1)) rounded.fill(1, start, start + granule);
  return rounded;
}

describe('a dirty bitmap', () => {
  test('marks exactly the granules that a range touches', () => {
    fc.assert(
      fc.property(anyBitmap(), ({ bitmap, ranges }) => {
        const written = new Uint8Array(bitmap.virtualSizeBytes);
        for (const { offset, length } of ranges) written.fill(1, offset, offset + length);
        expectEqual(bytesOf(bitmap), roundedOut(written, bitmap.granularityBits));
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

  test('visits maximal extents in order up to the end of the disk', () => {
    fc.assert(
      fc.property(anyBitmap(), ({ bitmap }) => {
        const marked = bytesOf(bitmap);
        const found = new Uint8Array(bitmap.virtualSizeBytes);
        let last = -1;
        for (const { offset, length } of extentsOf(bitmap)) {
          expect(offset).toBeGreaterThan(last);
          expect(length).toBeGreaterThan(0);
          found.fill(1, offset, offset + length);
          last = offset + length;
        }
        expectEqual(found, marked);
      }),
      { numRuns: 300 },
    );
  });

  test('of a disk of 0 bytes marks nothing', () => {
    const bitmap = cleanBitmap(0, 16);
    markRange(bitmap, 0, 10);
    expect([dirtyBytes(bitmap), extentsOf(bitmap), bitmap.bits.bitCount]).toEqual([0, [], 0]);
  });

  test('loses the marks of the granules that begin at or after an offset, and no other', () => {
    fc.assert(
      fc.property(anyBitmap(), fc.nat(3200), ({ bitmap }, offset) => {
        const before = bytesOf(bitmap);
        clearMarksFrom(bitmap, offset);
        const granuleOf = (byte: number) => Math.floor(byte / 2 ** bitmap.granularityBits);
        const isKept = (byte: number) => granuleOf(byte) * 2 ** bitmap.granularityBits < offset;
        expectEqual(
          bytesOf(bitmap),
          before.map((marked, byte) => (isKept(byte) ? marked : 0)),
        );
      }),
    );
  });

  test('counts granules and bytes of disks above 4 TiB', () => {
    const size = 5 * 2 ** 40 + 512;
    const bitmap = cleanBitmap(size, 31);
    markRange(bitmap, size - 1, 1);
    markRange(bitmap, 3 * 2 ** 40, 2 ** 32 + 1);
    expect(extentsOf(bitmap)).toEqual([
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
      const { virtualSizeBytes, granularityBits, bits } = bitmap;
      const granule = at % bits.bitCount;
      const other = cleanBitmap(virtualSizeBytes, granularityBits, bits.chunkBytes);
      markRange(other, granule * 2 ** granularityBits, 1);
      expect(isWholeDisk(withoutMarks(bitmap, other))).toBe(false);
    }),
  );
});

test('the missing marks of a bitmap are those that only the other one has', () => {
  fc.assert(
    fc.property(twoOfOneDisk, ([{ bitmap: wanted }, { bitmap: second }]) => {
      const have = resample(second, wanted.granularityBits);
      const [wantedBits, haveBits] = [flatBits(wanted.bits), flatBits(have.bits)];
      const missing = wantedBits.map((byte, index) => byte & ~haveBits[index]!);
      const count = missing.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
      expect(countMissingMarks(wanted, have)).toBe(count);
    }),
  );
});

test('the difference of two bitmaps marks the granules that only the first one marks', () => {
  fc.assert(
    fc.property(twoOfOneDisk, ([{ bitmap }, { bitmap: second }]) => {
      const other = resample(second, bitmap.granularityBits);
      const unwanted = bytesOf(other);
      const left = bytesOf(bitmap).map((marked, byte) => marked & ~unwanted[byte]!);
      expectEqual(bytesOf(withoutMarks(bitmap, other)), left);
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
        expectEqual(
          bytesOf(target),
          before.map((marked, byte) => marked | added[byte]!),
        );
      }),
      { numRuns: 300 },
    );
  });

  test('changes nothing the second time, and never changes the source', () => {
    fc.assert(
      fc.property(twoOfOneDisk, ([{ bitmap: target }, { bitmap: source }]) => {
        const sourceBefore = flatBits(source.bits);
        mergeInto(target, source);
        const once = flatBits(target.bits);
        mergeInto(target, source);
        expectEqual(flatBits(target.bits), once);
        expectEqual(flatBits(source.bits), sourceBefore);
      }),
    );
  });

  test('of disks of different sizes marks only the common part, with any granularities', () => {
    fc.assert(
      fc.property(twoBitmaps(anySize), ([{ bitmap: target }, { bitmap: source }]) => {
        const before = bytesOf(target);
        const have = bytesOf(source);
        const added = roundedOut(
          before.map((_, byte) => have[byte] ?? 0),
          target.granularityBits,
        );
        mergeInto(target, source);
        expectEqual(
          bytesOf(target),
          before.map((marked, byte) => marked | added[byte]!),
        );
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
        expectEqual(bytesOf(other), roundedOut(bytesOf(bitmap), granularityBits));
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
        const again = resample(between, bitmap.granularityBits);
        expectEqual(flatBits(again.bits), flatBits(bitmap.bits));
      }),
    );
  });
});
