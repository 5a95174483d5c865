import fc from 'fast-check';
import { expect, test } from 'vitest';
import { countBits, countEach } from '../../../src/bytes/count-bits.ts';
import { expectEqual } from '../../support/expect-equal.ts';

/** The bytes at any place of their buffer, since words start at every fourth one only, and other bytes around them. */
function placed(bytes: Uint8Array, before: number): Uint8Array {
  const buffer = new Uint8Array(before + bytes.length + 9).fill(0xff);
  buffer.set(bytes, before);
  return buffer.subarray(before, before + bytes.length);
}

test('the set bits of short arrays are counted at any place in the buffer', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40, size: 'max' }), fc.nat(7), (bytes, before) => {
      const digits = Array.from(bytes, (byte) => byte.toString(2)).join('');
      const bits = placed(bytes, before);
      expectEqual(countBits(bits), digits.replaceAll('0', '').length);
      expectEqual(countEach(bits), countBits(bits));
    }),
    { numRuns: 500 },
  );
});

test('the set bits of long arrays are counted with and without the kernel', () => {
  const oneByte = fc.record({ at: fc.nat(), value: fc.integer({ min: 1, max: 255 }) });
  fc.assert(
    fc.property(
      fc.integer({ min: 3000, max: 200_000 }),
      fc.nat(7),
      fc.constantFrom(0, 0xff),
      fc.array(oneByte),
      (length, before, most, others) => {
        const bytes = new Uint8Array(length).fill(most);
        let expected = most === 0 ? 0 : length * 8;
        for (const { at, value } of others) {
          const byte = bytes[at % length]!;
          bytes[at % length] = value;
          expected += ones(value) - ones(byte);
        }
        const bits = placed(bytes, before);
        expectEqual(countBits(bits), expected);
        expectEqual(countEach(bits), expected);
      },
    ),
    { numRuns: 50 },
  );
});

test('nothing is left of a longer array when a shorter one is counted', () => {
  expect(countBits(new Uint8Array(64 * 1024).fill(0xff))).toBe(2 ** 19);
  const short = new Uint8Array(33_001);
  short[0] = 1;
  expect(countBits(short)).toBe(1);
});

const ones = (byte: number): number => byte.toString(2).replaceAll('0', '').length;
