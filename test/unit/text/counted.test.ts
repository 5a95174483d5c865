import { expect, test } from 'vitest';
import { counted } from '../../../src/text/counted.ts';

test('one thing is in the singular, every other number in the plural', () => {
  expect([0, 1, 2].map((number) => counted(number, 'image'))).toEqual(['0 images', '1 image', '2 images']);
  expect([1, 2].map((number) => counted(number, 'entry', 'entries'))).toEqual(['1 entry', '2 entries']);
});
