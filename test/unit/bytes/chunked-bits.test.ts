/** Chunked bits against a list of booleans. Small chunks are clear, full and mixed in every order. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  areAllSet,
  bytesBetween,
  type ChunkedBits,
  changesOf,
  clearFrom,
  copyOf,
  countMissing,
  countSet,
  halved,
  hasBit,
  newChunkedBits,
  replaceBytes,
  setRange,
  subtract,
  unite,
  visitRuns,
} from '../../../src/bytes/chunked-bits.ts';
import type { Span } from '../../../src/bytes/range.ts';
import { expectEqual } from '../../support/expect-equal.ts';
import { flatBits } from '../../support/flat-bits.ts';

const CHUNK_BYTES = 8;
const MOST_BITS = 500;

type Change =
  | { kind: 'set'; start: number; length: number }
  | { kind: 'clear'; start: number }
  | { kind: 'replace'; at: number; bytes: Uint8Array };

const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 20, size: 'max' }),
  fc.tuple(fc.constantFrom(0, 0xff), fc.nat(30)).map(([value, length]) => new Uint8Array(length).fill(value)),
);
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('set'), start: fc.nat(520), length: fc.nat(200) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear'), start: fc.nat(520) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('replace'), at: fc.nat(65), bytes: anyBytes }) },
);

/** The same changes on both. */
function made(bitCount: number, changes: readonly Change[]): { bits: ChunkedBits; model: boolean[] } {
  const bits = newChunkedBits(bitCount, CHUNK_BYTES);
  const model = Array<boolean>(bitCount).fill(false);
  for (const change of changes) {
    if (change.kind === 'set') {
      setRange(bits, change.start, change.start + change.length);
      model.fill(true, change.start, change.start + change.length);
    } else if (change.kind === 'clear') {
      clearFrom(bits, change.start);
      model.fill(false, change.start);
    } else {
      replaceBytes(bits, change.at, change.bytes);
      for (let bit = 0; bit < change.bytes.length * 8 && change.at * 8 + bit < bitCount; bit++)
        model[change.at * 8 + bit] = ((change.bytes[bit >> 3]! >> (bit & 7)) & 1) === 1;
    }
  }
  return { bits, model };
}

const anyChanges = fc.array(anyChange, { maxLength: 8 });
const anyCount = fc.integer({ min: 1, max: MOST_BITS });
const anyBits = fc.tuple(anyCount, anyChanges).map(([count, changes]) => made(count, changes));
const twoAlike = fc
  .tuple(anyCount, anyChanges, anyChanges)
  .map(([count, first, second]) => [made(count, first), made(count, second)] as const);

const modelOf = (bits: ChunkedBits) =>
  Array.from({ length: bits.bitCount }, (_, index) => hasBit(bits, index));
const countOf = (model: readonly boolean[]) => model.filter(Boolean).length;

/** All bits of all chunks, also those after the last one. */
const storedBits = ({ chunks }: ChunkedBits) =>
  chunks.reduce(
    (sum, chunk) =>
      sum +
      (typeof chunk === 'object'
        ? chunk.reduce((ones, byte) => ones + byte.toString(2).replaceAll('0', '').length, 0)
        : 0),
    0,
  );

describe('chunked bits', () => {
  test('have exactly the bits that were set and not cleared later', () => {
    fc.assert(
      fc.property(anyBits, ({ bits, model }) => {
        expectEqual(modelOf(bits), model);
        const inFull = bits.chunks.filter((chunk) => chunk === 'ones').length * CHUNK_BYTES * 8;
        expect(storedBits(bits)).toBeGreaterThanOrEqual(countOf(model) - inFull);
        expect(storedBits(bits)).toBeLessThanOrEqual(countOf(model));
      }),
      { numRuns: 500 },
    );
  });

  test('are counted in any range', () => {
    fc.assert(
      fc.property(anyBits, fc.nat(MOST_BITS), fc.nat(MOST_BITS), ({ bits, model }, one, other) => {
        const start = Math.min(one, other, bits.bitCount);
        const end = Math.min(Math.max(one, other), bits.bitCount);
        expect(countSet(bits)).toBe(countOf(model));
        expect(countSet(bits, start, end)).toBe(countOf(model.slice(start, end)));
        expect(areAllSet(bits)).toBe(model.every(Boolean));
      }),
      { numRuns: 300 },
    );
  });

  test('change where a bit differs from the one before it, and their runs are maximal', () => {
    fc.assert(
      fc.property(anyBits, ({ bits, model }) => {
        const expected = model.flatMap((bit, index) => (bit !== (model[index - 1] ?? false) ? [index] : []));
        const changes = changesOf(bits);
        const into = new Float64Array(64);
        const found: number[] = [];
        for (let count = changes.next(into); count > 0; count = changes.next(into))
          found.push(...into.subarray(0, count));
        expectEqual(found, expected);
        expect(changes.next(into)).toBe(0);
        const ends = [...expected, bits.bitCount];
        const runs: Span[] = [];
        visitRuns(bits, (start, end) => runs.push({ start, end }));
        expectEqual(
          runs,
          expected.flatMap((start, index) => (index % 2 === 0 ? [{ start, end: ends[index + 1] }] : [])),
        );
      }),
      { numRuns: 300 },
    );
  });

  test('are read as bytes in parts of a chunk and in several chunks', () => {
    fc.assert(
      fc.property(anyBits, fc.constantFrom(4, 8, 16, 32), ({ bits }, lengthBytes) => {
        const flat = flatBits(bits);
        for (let start = 0; start < flat.length; start += lengthBytes) {
          const end = Math.min(start + lengthBytes, flat.length);
          const found = bytesBetween(bits, start, end);
          const expected = flat.subarray(start, end);
          if (found === 'zeros') expectEqual(expected, new Uint8Array(expected.length));
          else if (found === 'ones')
            expectEqual(countSet(bits, start * 8, end * 8), Math.min(end * 8, bits.bitCount) - start * 8);
          else expectEqual(found, expected);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('are united, subtracted and compared bit by bit, and the other one stays as it is', () => {
    fc.assert(
      fc.property(twoAlike, ([one, other]) => {
        const missing = one.model.filter((bit, index) => bit && !other.model[index]).length;
        expect(countMissing(one.bits, other.bits)).toBe(missing);
        const united = copyOf(one.bits);
        unite(united, other.bits);
        expectEqual(
          modelOf(united),
          one.model.map((bit, index) => bit || other.model[index]),
        );
        const left = copyOf(one.bits);
        subtract(left, other.bits);
        expectEqual(
          modelOf(left),
          one.model.map((bit, index) => bit && !other.model[index]),
        );
        expectEqual(modelOf(one.bits), one.model);
        expectEqual(modelOf(other.bits), other.model);
      }),
      { numRuns: 500 },
    );
  });

  test('have half as many bits after halving, each set if one of the two was', () => {
    fc.assert(
      fc.property(anyBits, ({ bits, model }) => {
        const half = halved(bits);
        const pairs = Array.from({ length: Math.ceil(model.length / 2) }, (_, index) => index * 2);
        expect(modelOf(half)).toEqual(pairs.map((index) => model[index]! || (model[index + 1] ?? false)));
        expect(countSet(half)).toBe(countOf(modelOf(half)));
        expect(modelOf(bits)).toEqual(model);
      }),
      { numRuns: 300 },
    );
  });

  test('of different lengths are united in the common part', () => {
    fc.assert(
      fc.property(anyBits, anyBits, (target, source) => {
        unite(target.bits, source.bits);
        expectEqual(
          modelOf(target.bits),
          target.model.map((bit, index) => bit || (source.model[index] ?? false)),
        );
        const count = countOf(modelOf(target.bits));
        expect(countSet(target.bits)).toBe(count);
        if (!target.bits.chunks.includes('ones')) expect(storedBits(target.bits)).toBe(count);
      }),
      { numRuns: 300 },
    );
  });
});

test('clear and full chunks take no memory, also in an array for a disk of 64 TiB', () => {
  const bits = newChunkedBits(2 ** 30);
  setRange(bits, 0, 2 ** 29);
  replaceBytes(bits, 2 ** 27 - 2 ** 20, new Uint8Array(2 ** 20));
  expect(new Set(bits.chunks)).toEqual(new Set(['ones', 'zeros']));
  expect(countSet(bits)).toBe(2 ** 29);
});
