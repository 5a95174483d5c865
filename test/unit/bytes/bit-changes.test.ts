import fc from 'fast-check';
import { test } from 'vitest';
import { bitChanges } from '../../../src/bytes/bit-changes.ts';
import { getBit } from '../../../src/bytes/bits.ts';
import { expectEqual } from '../../support/expect-equal.ts';

/** Stretches of like bytes, and bytes of any kind. */
const bytes = fc
  .array(
    fc.oneof(
      fc.tuple(fc.constantFrom(0, 0xff), fc.integer({ min: 1, max: 1500 })),
      fc.tuple(fc.nat(0xff), fc.constant(1)),
    ),
    { maxLength: 30, size: 'max' },
  )
  .map((runs) => Buffer.concat(runs.map(([value, length]) => Buffer.alloc(length, value))));

test('finds every bit that differs from the previous one, in order, with an output of any size', () => {
  fc.assert(
    fc.property(
      bytes,
      fc.nat(9),
      fc.nat(15),
      fc.integer({ min: 64, max: 200 }),
      (content, offset, short, room) => {
        const buffer = new Uint8Array(content.length + offset);
        buffer.set(content, offset);
        const bits = buffer.subarray(offset);
        const count = Math.max(0, bits.length * 8 - short);
        const expected: number[] = [];
        let last = false;
        for (let index = 0; index < count; index++) {
          // No bit of this byte differs from the last one.
          if (index % 8 === 0 && bits[index / 8] === (last ? 0xff : 0)) index += 7;
          else if (getBit(bits, index) !== last) {
            expected.push(index);
            last = !last;
          }
        }
        const changes = bitChanges(bits, count);
        const into = new Float64Array(room);
        const found: number[] = [];
        for (let more = changes.next(into); more > 0; more = changes.next(into))
          found.push(...into.subarray(0, more));
        expectEqual(found, expected);
        expectEqual(changes.next(into), 0);
      },
    ),
    { numRuns: 500 },
  );
});
