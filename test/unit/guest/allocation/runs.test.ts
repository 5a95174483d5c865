/** Runs are joined exactly if their kind and place continue. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  NO_OFFSET,
  RUN,
  type RunKind,
  type RunsBuilder,
  runsBuilder,
} from '../../../../src/guest/allocation/runs.ts';
import { expectEqual } from '../../../support/expect-equal.ts';

/** One that has been used before. */
function builderAt(start: number): RunsBuilder {
  const builder = runsBuilder();
  builder.add(1, RUN.data, 7);
  builder.finish();
  builder.reset(start);
  return builder;
}

const anyPiece = fc.record({
  length: fc.integer({ min: 1, max: 5 }),
  kind: fc.constantFrom<RunKind>(RUN.unallocated, RUN.data, RUN.zero, RUN.compressed),
  host: fc.oneof(fc.constant(NO_OFFSET), fc.constant('goes on' as const), fc.nat(50)),
});

test('runs contain for every byte what was added, in the least number of runs', () => {
  fc.assert(
    fc.property(fc.nat(1000), fc.array(anyPiece, { maxLength: 60, size: 'max' }), (start, pieces) => {
      const builder = builderAt(start);
      const bytes: { kind: RunKind; host: number }[] = [];
      for (const { length, kind, host } of pieces) {
        const last = bytes.at(-1);
        const at =
          host !== 'goes on'
            ? host
            : last === undefined || last.host === NO_OFFSET
              ? NO_OFFSET
              : last.host + 1;
        builder.add(builder.end + length, kind, at);
        for (let byte = 0; byte < length; byte++)
          bytes.push({ kind, host: at === NO_OFFSET ? NO_OFFSET : at + byte });
      }
      const runs = builder.finish();
      expectEqual([runs.start, runs.end], [start, start + bytes.length]);

      const found: { kind: number; host: number }[] = [];
      let from = start;
      for (let run = 0; run < runs.count; run++) {
        const host = runs.hostOffsets[run]!;
        for (let byte = from; byte < runs.ends[run]!; byte++) {
          found.push({ kind: runs.kinds[run]!, host: host === NO_OFFSET ? NO_OFFSET : host + byte - from });
        }
        from = runs.ends[run]!;
      }
      expectEqual(found, bytes);

      const borders = bytes.filter(({ kind, host }, index) => {
        const last = bytes[index - 1];
        if (last === undefined) return true;
        const goesOn = last.host === NO_OFFSET ? host === NO_OFFSET : host === last.host + 1;
        return kind !== last.kind || !goesOn;
      });
      expect(runs.count).toBe(borders.length);
    }),
    { numRuns: 500 },
  );
});

test('thousands of runs stay separate', () => {
  const builder = builderAt(0);
  for (let run = 0; run < 5000; run++) builder.add(run + 1, run % 2 === 0 ? RUN.data : RUN.zero, NO_OFFSET);
  const { count, ends, kinds } = builder.finish();
  expect(count).toBe(5000);
  expect([ends[0], ends[4999], kinds[0], kinds[4999]]).toEqual([1, 5000, RUN.data, RUN.zero]);
});

test('units become the same runs as the same parts one by one', () => {
  fc.assert(
    fc.property(
      fc.nat(1000),
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.array(anyPiece, { maxLength: 40, size: 'max' }), { maxLength: 4 }),
      (start, unitBytes, parts) => {
        const [single, together] = [builderAt(start), builderAt(start)];
        for (const pieces of parts) {
          let last = NO_OFFSET;
          const hosts = pieces.map(({ host }) => {
            if (host === 'goes on') last = last === NO_OFFSET ? NO_OFFSET : last + unitBytes;
            else last = host;
            return last;
          });
          const units = {
            kinds: Uint8Array.from(pieces, ({ kind }) => kind),
            hostOffsets: Float64Array.from(hosts),
          };
          together.addUnits(units, pieces.length, unitBytes);
          for (const [index, { kind }] of pieces.entries())
            single.add(single.end + unitBytes, kind, hosts[index]!);
        }
        const [expected, found] = [single.finish(), together.finish()];
        expectEqual([found.start, found.end, found.count], [start, expected.end, expected.count]);
        for (const column of ['ends', 'kinds', 'hostOffsets'] as const)
          expectEqual(found[column].subarray(0, found.count), expected[column].subarray(0, found.count));
      },
    ),
    { numRuns: 500 },
  );
});
