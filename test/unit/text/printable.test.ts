/** Text from images cannot move the cursor, start a line or change the direction. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { printable, printableJson } from '../../../src/text/printable.ts';
import { anyCharacter } from '../../support/any-character.ts';

describe('printable text', () => {
  test.each([
    ['plain', 'plain'],
    ['Prüfpunkt № 1 – 検査点 ✓ 😀', 'Prüfpunkt № 1 – 検査点 ✓ 😀'],
    ['two\nlines\r', 'two\\x0alines\\x0d'],
    ['\u001b[31mred\u001b[0m', '\\x1b[31mred\\x1b[0m'],
    ['\u0000\u007f\u009b', '\\x00\\x7f\\x9b'],
    ['\u202egnp.exe\u2066', '\\u202egnp.exe\\u2066'],
    ['\u2028', '\\u2028'],
    ['', ''],
  ])('for %j is %j', (text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  test('has no control, line or direction character, whatever the input', () => {
    fc.assert(
      fc.property(fc.string({ unit: anyCharacter }), (text) => {
        expect(printable(text)).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]|(?![\u061c\u200e\u200f])\p{Bidi_Control}/u);
      }),
      { numRuns: 1000, examples: [['\u202a\u202c\u2067\u2069'], ['\u0085\u2029']] },
    );
  });

  test('does not change text without such characters', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(printable(text)).toBe(text);
      }),
    );
  });
});

describe('printable JSON', () => {
  test('escapes characters that move the cursor or change the direction, and has the same value', () => {
    const value = { name: '\u009b31m\u202egnp.exe\u2066\u0000\u007f', lines: ['two\nlines', 'é 😀'] };
    const json = printableJson(value, 2);
    expect(json).toMatch(/"name": "\\u009b31m\\u202egnp\.exe\\u2066\\u0000\\u007f"/);
    expect(json).toContain('é 😀');
    expect(JSON.parse(json)).toEqual(value);
  });

  test('is safe for any value, and is valid JSON', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: anyCharacter })),
        fc.constantFrom(undefined, 2),
        (value, indent) => {
          const json = printableJson(value, indent);
          expect(json).not.toMatch(/(?!\n)[\p{Cc}\p{Zl}\p{Zp}]|(?![\u061c\u200e\u200f])\p{Bidi_Control}/u);
          expect(JSON.parse(json)).toEqual(value);
        },
      ),
      { numRuns: 500 },
    );
  });
});
