import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bitChanges } from '../../../src/bytes/bit-changes.ts';
import { getBit } from '../../../src/bytes/bits.ts';

/** Stretches of like bytes, and bytes of any kind. */
const bytes = fc
  .array(
    fc.oneof(
      fc.tuple(fc.constantFrom(0, 0xff), fc.integer({ min: 1, max: 1500 })),
      fc.tuple(fc.nat(0xff), fc.constant(1)),
    ),
    { maxLength: 30 },
  )
  .map((runs) => Uint8Array.from(runs.flatMap(([value, length]) => new Array<number>(length).fill(value))));

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
        for (let index = 0; index < count; index++) {
          if (getBit(bits, index) !== (index > 0 && getBit(bits, index - 1))) expected.push(index);
        }
        const changes = bitChanges(bits, count);
        const into = new Float64Array(room);
        const found: number[] = [];
        for (let more = changes.next(into); more > 0; more = changes.next(into))
          found.push(...into.subarray(0, more));
        expect(found).toEqual(expected);
        expect(changes.next(into)).toBe(0);
      },
    ),
    { numRuns: 500 },
  );
});
