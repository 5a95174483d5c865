/** Sizes in readable form. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../src/errors.ts';
import { formatShare, formatSize, parseSize } from '../../../src/text/size.ts';

describe('a size is shown', () => {
  test.each([
    [0, '0 B'],
    [1, '1 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [65536, '64 KiB'],
    [1024 * 1024 + 1, '1.0 MiB'],
    [5 * 2 ** 30, '5 GiB'],
    [2 ** 40, '1 TiB'],
    [3 * 2 ** 50, '3 PiB'],
    [2 ** 52, '4 PiB'],
  ])('%i as %s', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });

  test('with a number below 1024, unless it is PiB', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 50), (bytes) => {
        expect(Number.parseFloat(formatSize(bytes))).toBeLessThan(1024);
      }),
      { examples: [[2 ** 20 - 1], [2 ** 30 - 1], [2 ** 40 - 1]] },
    );
  });
});

describe('a share is shown', () => {
  test.each([
    [0, 0, '0 %'],
    [0, 100, '0 %'],
    [1, 3, '33.3 %'],
    [1, 1, '100 %'],
    [1, 100_000, '<0.1 %'],
    [1, 1000, '0.1 %'],
  ])('%i of %i as %s', (part, whole, text) => {
    expect(formatShare(part, whole)).toBe(text);
  });
});

describe('a size', () => {
  test.each([
    ['0', 0],
    ['512', 512],
    ['64k', 65536],
    ['64K', 65536],
    ['64KiB', 65536],
    ['1M', 2 ** 20],
    ['2g', 2 ** 31],
    ['3T', 3 * 2 ** 40],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('is read from %s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each([
    '',
    ' ',
    '-1',
    '1.5k',
    '0x10',
    '1e3',
    '64 k',
    'k',
    '64kk',
    '64Q',
    '1_000',
    '9007199254740993',
    '9999999T',
    '٣',
  ])('is not read from %j', (text) => {
    expect(() => parseSize(text)).toThrow(UsageError);
    expect(() => parseSize(text)).toThrow(`"${text}" is not a size`);
  });

  test('that was shown as a whole number is read as the same size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1023 }), fc.nat(4), (number, power) => {
        const bytes = number * 1024 ** power;
        expect(parseSize(formatSize(bytes).replace(' ', ''))).toBe(bytes);
      }),
    );
  });
});
