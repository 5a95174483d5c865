/** Numbered names in natural order. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { areNumbered, inNaturalOrder } from '../../../src/text/natural-order.ts';

test('numbers are compared as numbers, at any position', () => {
  const names = [
    'virtnbdbackup.2',
    'virtnbdbackup.10',
    'virtnbdbackup.11',
    'virtnbdbackup.1x',
    'c9.3',
    'c10',
    'c9',
  ];
  expect(names.sort(inNaturalOrder)).toEqual([
    'c9',
    'c9.3',
    'c10',
    'virtnbdbackup.1x',
    'virtnbdbackup.2',
    'virtnbdbackup.10',
    'virtnbdbackup.11',
  ]);
  expect(['7', '007', '1525889631', '99999999999999999999'].sort(inNaturalOrder)).toEqual([
    '007',
    '7',
    '1525889631',
    '99999999999999999999',
  ]);
});

test('the order is total: no two names are equal, and it is the same in both directions', () => {
  const name = fc.string({ unit: fc.constantFrom('a', '0', '1', '9', '.'), maxLength: 6 });
  fc.assert(
    fc.property(name, name, name, (a, b, c) => {
      expect(Math.sign(inNaturalOrder(a, b))).toBe(-Math.sign(inNaturalOrder(b, a)) + 0);
      expect(inNaturalOrder(a, b) === 0).toBe(a === b);
      const [x, y, z] = [a, b, c].sort(inNaturalOrder);
      expect(inNaturalOrder(x!, z!)).toBeLessThanOrEqual(0);
      expect(inNaturalOrder(x!, y!)).toBeLessThanOrEqual(0);
    }),
  );
});

test('names are numbered if they differ only in numbers', () => {
  expect(areNumbered(['c1', 'c10', 'c2'])).toBe(true);
  expect(areNumbered(['backup-2026-11-01', 'backup-2026-11-02'])).toBe(true);
  expect(areNumbered(['monday', 'tuesday'])).toBe(false);
  expect(areNumbered(['a', 'a'])).toBe(false);
  expect(areNumbered(['c1', 'd2'])).toBe(false);
});
