/** Every entry of a table that is not 0 is visited once, in order. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { visitEntries, visitOffsets } from '../../../src/format/table-entries.ts';
import { expectEqual } from '../../support/expect-equal.ts';

const anyEntry = fc.oneof(
  fc.constant(0n),
  fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
  fc.nat(63).map((bit) => 1n << BigInt(bit)),
);
/** Many equal entries in a row, longer than the blocks by which the search skips zeros. */
const anyRow = fc.tuple(anyEntry, fc.oneof(fc.nat(3), fc.nat(9000)));

function stored([entry, length]: [bigint, number]): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(entry);
  return Buffer.alloc(length * 8, bytes);
}

test('visits the entries that are not 0, with their two halves', () => {
  fc.assert(
    fc.property(fc.array(anyRow, { maxLength: 8 }), (rows) => {
      const table = Buffer.concat(rows.map(stored));
      const found = Buffer.alloc(table.length);
      const wrong: number[] = [];
      let next = 0;
      visitEntries(table, (index, high, low) => {
        if (index < next || (high === 0 && low === 0)) wrong.push(index);
        found.writeUInt32BE(high, index * 8);
        found.writeUInt32BE(low, index * 8 + 4);
        next = index + 1;
      });
      expect(wrong).toEqual([]);
      expect(found.equals(table)).toBe(true);
    }),
    { numRuns: 100 },
  );
});

test('visits the offsets that are not 0, with their values', () => {
  const anyOffset = fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: 2 ** 47 }).map((sector) => sector * 512),
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(anyOffset, fc.oneof(fc.nat(3), fc.nat(9000))), { maxLength: 8 }),
      (rows) => {
        const offsets = Float64Array.from(
          rows.flatMap(([offset, length]) => Array<number>(length).fill(offset)),
        );
        const around = Float64Array.from([512, ...offsets, 512]);
        const expected = [...offsets.entries()].filter(([, offset]) => offset !== 0);
        const found: [number, number][] = [];
        visitOffsets(around.subarray(1, -1), (index, offset) => found.push([index, offset]));
        expectEqual(found, expected);
      },
    ),
    { numRuns: 100 },
  );
});
