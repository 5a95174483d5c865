/** Bit arrays, compared with loops over single bits. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  clearBitsFrom,
  countMissingBits,
  findBit,
  getBit,
  newBits,
  runsOfOnes,
  setBit,
  setBits,
  skipBytes,
} from '../../../src/bytes/bits.ts';
import { expectEqual } from '../../support/expect-equal.ts';

/** Bytes of which many are all zeros or all ones, as in real bitmaps. */
const someBytes = fc
  .array(
    fc.tuple(
      fc.oneof(fc.constantFrom(0, 0xff), fc.integer({ min: 0, max: 255 })),
      fc.integer({ min: 1, max: 9 }),
    ),
    { maxLength: 8 },
  )
  .map((runs) => runs.flatMap(([byte, count]) => Array<number>(count).fill(byte)));

/** The same bytes at any place of their buffer: words start at every fourth one only. */
const anyBits = fc
  .tuple(someBytes, fc.nat(7), fc.integer({ min: 0, max: 255 }))
  .map(([bytes, before, around]) => {
    const buffer = new Uint8Array(before + bytes.length + 9).fill(around);
    buffer.set(bytes, before);
    return buffer.subarray(before, before + bytes.length);
  });

const bitsInRange = anyBits.chain((bits) =>
  fc
    .tuple(fc.nat(bits.length * 8), fc.nat(bits.length * 8))
    .map(([a, b]) => ({ bits, start: Math.min(a, b), end: Math.max(a, b) })),
);
const bytesInRange = anyBits.chain((bits) =>
  fc
    .tuple(fc.nat(bits.length), fc.nat(bits.length))
    .map(([a, b]) => ({ bits, start: Math.min(a, b), end: Math.max(a, b) })),
);

/** The bits as digits. Bit n is bit n % 8 of byte n / 8 (spec: "Bitmap data"). */
function digits(bits: Uint8Array): string {
  return Array.from({ length: bits.length * 8 }, (_, index) => (bits[index >> 3]! >> (index & 7)) & 1).join(
    '',
  );
}

const runs = { numRuns: 500 };

describe('bits', () => {
  test('are numbered from the lowest of each byte', () => {
    const bits = newBits(20);
    for (const index of [0, 9, 19]) setBit(bits, index);
    expect([...bits]).toEqual([0x01, 0x02, 0x08]);
  });

  test('are read one by one', () => {
    fc.assert(
      fc.property(anyBits, (bits) => {
        const found = Array.from({ length: bits.length * 8 }, (_, index) => (getBit(bits, index) ? 1 : 0));
        expect(found.join('')).toBe(digits(bits));
      }),
    );
  });

  test('are set only in [start, end)', () => {
    fc.assert(
      fc.property(bitsInRange, ({ bits, start, end }) => {
        const before = digits(bits);
        setBits(bits, start, end);
        expect(digits(bits)).toBe(before.slice(0, start) + '1'.repeat(end - start) + before.slice(end));
      }),
      runs,
    );
  });

  test('are not changed by an empty or inverted range', () => {
    const bits = Uint8Array.of(0x10, 0);
    setBits(bits, 3, 3);
    setBits(bits, 9, 2);
    expect([...bits]).toEqual([0x10, 0]);
  });

  test('are cleared from an index to the end', () => {
    fc.assert(
      fc.property(bitsInRange, ({ bits, start }) => {
        const before = digits(bits);
        clearBitsFrom(bits, start);
        expect(digits(bits)).toBe(before.slice(0, start).padEnd(before.length, '0'));
      }),
      runs,
    );
  });

  test('are counted if they are wanted and missing', () => {
    fc.assert(
      fc.property(someBytes, fc.infiniteStream(fc.nat(255)), (bytes, stream) => {
        const wanted = Uint8Array.from(bytes);
        const have = Uint8Array.from(bytes, () => stream.next().value);
        const held = digits(have);
        const missing = [...digits(wanted)].filter((bit, index) => bit === '1' && held[index] === '0');
        expect(countMissingBits(wanted, have)).toBe(missing.length);
      }),
    );
  });
});

describe('searching', () => {
  test('skips equal bytes up to the first other byte or the end, in any range', () => {
    fc.assert(
      fc.property(bytesInRange, fc.constantFrom(0, 0xff), ({ bits, start, end }, value) => {
        let expected = start;
        while (expected < end && bits[expected] === value) expected++;
        expect(skipBytes(bits, value as 0 | 0xff, start, end)).toBe(expected);
      }),
      runs,
    );
  });

  test.each([
    [1, 2],
    [5, 7],
    [2, 3],
    [3, 3],
  ])('skips within one word: bytes %i to %i', (start, end) => {
    expect(skipBytes(new Uint8Array(8), 0, start, end)).toBe(end);
  });

  test.each([0, 0xff] as const)(
    'skips long stretches of %i up to the first other byte, at any position',
    (value) => {
      for (const before of [0, 1, 6]) {
        for (const length of [63, 64, 65, 576, 577, 1601]) {
          const bits = new Uint8Array(before + length + 9).fill(value);
          const end = before + length;
          expect(skipBytes(bits, value, before, end)).toBe(end);
          for (const place of [0, 63, 64, 65, 575, 576, 1087, 1088, 1089, length - 1, length]) {
            if (place > length) continue;
            bits[before + place] = value ^ 4;
            expect(skipBytes(bits, value, before, end)).toBe(before + place);
            bits[before + place] = value;
          }
        }
      }
    },
  );

  test('finds the first bit of a value in a range, or its end', () => {
    fc.assert(
      fc.property(bitsInRange, fc.constantFrom(0, 1), ({ bits, start, end }, value) => {
        const found = digits(bits).slice(start, end).indexOf(String(value));
        expect(findBit(bits, value as 0 | 1, start, end)).toBe(found < 0 ? end : start + found);
      }),
      runs,
    );
  });

  test('finds nothing in a clear byte', () => {
    expect(findBit(new Uint8Array(2), 1, 8, 16)).toBe(16);
  });

  test('yields every maximal run of set bits, in order', () => {
    fc.assert(
      fc.property(bitsInRange, ({ bits, start, end }) => {
        const expected = Array.from(digits(bits).slice(start, end).matchAll(/1+/g), ({ index, 0: run }) => ({
          start: start + index,
          end: start + index + run.length,
        }));
        expectEqual([...runsOfOnes(bits, start, end)], expected);
      }),
      runs,
    );
  });
});
