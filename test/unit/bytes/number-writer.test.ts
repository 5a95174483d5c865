import fc from 'fast-check';
import { test } from 'vitest';
import { numberWriter, writeRows } from '../../../src/bytes/number-writer.ts';
import { expectEqual } from '../../support/expect-equal.ts';

/** Random numbers seldom are small, or next to a multiple of a large power of ten. */
const number = fc
  .tuple(
    fc.maxSafeNat(),
    fc.integer({ min: 0, max: 53 }),
    fc.integer({ min: 0, max: 15 }),
    fc.integer({ min: -1, max: 1 }),
  )
  .map(([large, bits, power, near]) => {
    const value = Math.floor(large / 2 ** bits);
    const multiple = value - (value % 10 ** power);
    return Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, multiple + near));
  });

const text = fc
  .array(fc.integer({ min: 0x20, max: 0x7e }), { maxLength: 127, size: 'max' })
  .map((codes) => String.fromCharCode(...codes));

const table = fc.nat(4).chain((lastText) =>
  fc.record({
    texts: fc.array(text, { minLength: lastText + 1, maxLength: lastText + 1 }),
    isPadded: fc.boolean(),
    rows: fc.integer({ min: 1, max: 3 }).chain((columnCount) => {
      const cell = fc.tuple(fc.nat(lastText), number);
      return fc.array(fc.array(cell, { minLength: columnCount, maxLength: columnCount }), {
        minLength: 1,
        maxLength: 20,
        size: 'max',
      });
    }),
    spare: fc.nat(3),
  }),
);

test('rows have the texts and the decimals, with and without the kernel, at any number of calls', () => {
  fc.assert(
    fc.property(table, ({ texts, isPadded, rows, spare }) => {
      const writer = numberWriter({ texts, isPadded }, rows[0]!.length, rows.length + spare);
      for (const [row, cells] of rows.entries()) {
        for (const [column, [choice, value]] of cells.entries()) {
          writer.columns[column]!.choices[row] = choice;
          writer.columns[column]!.numbers[row] = value;
        }
      }
      for (const rowCount of [rows.length, 0, 1]) {
        const expected = rows
          .slice(0, rowCount)
          .flat()
          .map(([choice, value]) => texts[choice]! + String(value).padStart(isPadded ? 16 : 0))
          .join('');
        expectEqual(Buffer.from(writer.write(rowCount)).toString('latin1'), expected);
        const out = new DataView(new ArrayBuffer(expected.length + 16));
        const length = writeRows(out, writer.columns, { texts, isPadded }, rowCount);
        expectEqual(Buffer.from(out.buffer, 0, length).toString('latin1'), expected);
      }
    }),
    { numRuns: 2000 },
  );
});
