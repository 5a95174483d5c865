/** Struct tables: wrong byte numbers cause an error, and stored values are big-endian and exact. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OffsetTooLargeError, struct } from '../../../src/bytes/struct.ts';

const everyType = struct({
  byte: [0, 'u8'],
  short: [1, 'u16'],
  word: [3, 'u32'],
  exact: [7, 'u64'],
  place: [15, 'offset'],
});

const anyValue = fc.record({
  byte: fc.integer({ min: 0, max: 0xff }),
  short: fc.integer({ min: 0, max: 0xffff }),
  word: fc.integer({ min: 0, max: 0xffffffff }),
  exact: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  place: fc.maxSafeNat(),
});

describe('the table of a struct', () => {
  test.each([
    ['a gap between two fields', { a: [0, 'u32'], b: [8, 'u32'] }, 'b is at byte 8, expected 4'],
    ['a gap before the first field', { a: [4, 'u32'] }, 'a is at byte 4, expected 0'],
    ['an overlap of two fields', { a: [0, 'u64'], b: [4, 'u32'] }, 'b is at byte 4, expected 8'],
    ['two fields at one place', { a: [0, 'u8'], b: [0, 'u8'] }, 'b is at byte 0, expected 1'],
    ['fields out of order', { a: [4, 'u32'], b: [0, 'u32'] }, 'a is at byte 4, expected 0'],
  ] as const)('throws for %s, and names the field', (_, table, complaint) => {
    expect(() => struct(table)).toThrow(new RangeError(`struct: ${complaint}`));
  });

  test('gives the size and the position of every field', () => {
    expect(everyType.sizeBytes).toBe(23);
    expect(everyType.byteOf('byte')).toBe(0);
    expect(everyType.byteOf('exact')).toBe(7);
    expect(everyType.byteOf('place')).toBe(15);
  });
});

describe('the values of a struct', () => {
  test('are stored big-endian', () => {
    const bytes = new Uint8Array(23);
    const value = {
      byte: 1,
      short: 0x0203,
      word: 0x04050607,
      exact: 0x08090a0b0c0d0e0fn,
      place: 0x12131415161718,
    };
    everyType.write(bytes, value);
    expect(Buffer.from(bytes).toString('hex')).toBe('0102030405060708090a0b0c0d0e0f0012131415161718');
  });

  test('are read as they were written, at any position', () => {
    fc.assert(
      fc.property(anyValue, fc.nat(9), fc.nat(9), (value, before, at) => {
        const around = new Uint8Array(before + at + everyType.sizeBytes + 5).fill(0xa5);
        const bytes = around.subarray(before);
        everyType.write(bytes, value, at);
        expect(everyType.read(bytes, at)).toEqual(value);
        const rest = [
          ...around.subarray(0, before + at),
          ...around.subarray(before + at + everyType.sizeBytes),
        ];
        expect(rest.every((byte) => byte === 0xa5)).toBe(true);
      }),
    );
  });

  test('have the same encoding alone and in the struct', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const bytes = new Uint8Array(everyType.sizeBytes);
        everyType.write(bytes, value);
        for (const field of ['byte', 'short', 'word', 'exact', 'place'] as const) {
          const alone = everyType.encodeField(field, value[field]);
          const at = everyType.byteOf(field);
          expect([...alone]).toEqual([...bytes.subarray(at, at + alone.length)]);
        }
      }),
    );
  });

  test('stay exact up to 2^53 - 1 for an offset', () => {
    const one = struct({ place: [0, 'offset'] });
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, 2n ** 53n - 1n);
    expect(one.read(bytes)).toEqual({ place: Number.MAX_SAFE_INTEGER });
  });

  test('throw for an offset of 2^53 or more, with the field and the value', () => {
    const one = struct({ place: [0, 'offset'] });
    fc.assert(
      fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }), (value) => {
        const bytes = new Uint8Array(8);
        new DataView(bytes.buffer).setBigUint64(0, value);
        expect(() => one.read(bytes)).toThrow(OffsetTooLargeError);
        expect(() => one.read(bytes)).toThrow(`place is 0x${value.toString(16)}`);
      }),
    );
  });
});
