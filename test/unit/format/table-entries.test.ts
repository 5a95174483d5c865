/** Every entry of a table that is not 0 is visited once, in order. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { visitEntries } from '../../../src/format/table-entries.ts';

const anyEntry = fc.oneof(
  fc.constant(0n),
  fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
  fc.nat(63).map((bit) => 1n << BigInt(bit)),
);
/** Many equal entries in a row, longer than the blocks by which the search skips zeros. */
const anyTable = fc
  .array(fc.tuple(anyEntry, fc.oneof(fc.nat(3), fc.nat(9000))), { maxLength: 8 })
  .map((rows) => rows.flatMap(([entry, length]) => Array.from({ length }, () => entry)));

test('visits the entries that are not 0, with their two halves', () => {
  fc.assert(
    fc.property(anyTable, (entries) => {
      const bytes = Buffer.alloc(entries.length * 8);
      for (const [index, entry] of entries.entries()) bytes.writeBigUInt64BE(entry, index * 8);
      const found: [number, bigint][] = [];
      visitEntries(bytes, (index, high, low) => found.push([index, (BigInt(high) << 32n) | BigInt(low)]));
      const expected = entries.flatMap((entry, index) => (entry === 0n ? [] : [[index, entry]]));
      expect(found).toEqual(expected);
    }),
    { numRuns: 100 },
  );
});
