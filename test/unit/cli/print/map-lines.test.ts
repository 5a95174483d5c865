import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jsonMapLines, textMapLines } from '../../../../src/cli/print/map-lines.ts';
import { extentsOf, type MapColumns } from '../../../../src/guest/allocation/map-columns.ts';
import { NO_OFFSET, RUN } from '../../../../src/guest/allocation/runs.ts';

const offset = fc.maxSafeNat();
const extent = fc.record({
  start: offset,
  length: offset,
  depth: fc.integer({ min: 0, max: 999 }),
  kind: fc.constantFrom(...Object.values(RUN)),
  host: fc.oneof(fc.constant(NO_OFFSET), offset),
});

const columnsOf = (
  extents: readonly (typeof extent extends fc.Arbitrary<infer T> ? T : never)[],
): MapColumns => ({
  count: extents.length,
  starts: Float64Array.from(extents, ({ start }) => start),
  lengths: Float64Array.from(extents, ({ length }) => length),
  depths: Uint16Array.from(extents, ({ depth }) => depth),
  kinds: Uint8Array.from(extents, ({ kind }) => kind),
  hostOffsets: Float64Array.from(extents, ({ host }) => host),
});

const batches = fc.array(fc.array(extent, { minLength: 1, maxLength: 20, size: 'max' }), { maxLength: 4 });

describe.each([false, true])('lines of a map with unknown parts: %s', (gapsAreUnknown) => {
  test('have as JSON the output of JSON.stringify, with one extent in each line', () => {
    fc.assert(
      fc.property(batches, (all) => {
        const lines = jsonMapLines(gapsAreUnknown);
        const text =
          all.map((each) => Buffer.from(lines.batch(columnsOf(each))).toString()).join('') + lines.end();
        const extents = all.flatMap((each) => extentsOf(columnsOf(each), gapsAreUnknown));
        expect(text).toBe(`[${extents.map((each) => JSON.stringify(each)).join(',\n')}]\n`);
      }),
    );
  });

  test('have as text a title and a row for each extent', () => {
    const what = ({ present, zero, compressed }: ReturnType<typeof extentsOf>[number]) => {
      if (!present) return zero ? 'none' : 'backing';
      return compressed ? 'compr.' : zero ? 'zero' : 'data';
    };
    const row = (cells: readonly unknown[]) =>
      cells
        .map((cell, index) => (index < 2 ? String(cell).padStart(16) : String(cell).padEnd(8)))
        .join('  ')
        .trimEnd();
    fc.assert(
      fc.property(batches, (all) => {
        const lines = textMapLines(gapsAreUnknown);
        const text =
          all.map((each) => Buffer.from(lines.batch(columnsOf(each))).toString()).join('') + lines.end();
        const extents = all.flatMap((each) => extentsOf(columnsOf(each), gapsAreUnknown));
        const rows = extents.map((each) =>
          row([each.start, each.length, each.depth, what(each), each.offset ?? '']),
        );
        expect(text).toBe([row(['start', 'length', 'depth', 'what', 'at']), ...rows, ''].join('\n'));
      }),
    );
  });
});
