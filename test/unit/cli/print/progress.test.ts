/** The progress line uses the available columns and never more. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { progressText } from '../../../../src/cli/print/progress.ts';
import { anyCharacter } from '../../../support/any-character.ts';

const GiB = 2 ** 30;
const half = { phase: 'comparing', image: '/images/disk.qcow2', doneBytes: 2 * GiB, totalBytes: 4 * GiB };

test.each([
  [80, 'comparing disk.qcow2: 50 %, 2 GiB of 4 GiB, 204.8 MiB/s, 10 s left'],
  [60, 'comparing disk.qcow2: 50 %, 204.8 MiB/s, 10 s left'],
  [45, 'comparing: 50 %, 204.8 MiB/s, 10 s left'],
  [20, '50 %, 10 s left'],
  [8, '50 %'],
  [3, ''],
])('progress fits in %i columns', (letters, text) => {
  expect(progressText(half, 10_000, letters)).toBe(text);
});

test.each([
  [100, '1 h 5 min left'],
  [10_000, '39 s left'],
  [2000, '3 min 15 s left'],
])('the remaining time at %i KiB per second is %s', (kibPerSecond, left) => {
  const doneBytes = kibPerSecond * 1024;
  const text = progressText({ phase: 'x', doneBytes, totalBytes: doneBytes + 390_000 * 1024 }, 1000, 80);
  expect(text).toContain(left);
});

test('progress without any work shows no rate, and progress of nothing is complete', () => {
  expect(progressText({ ...half, doneBytes: 0 }, 0, 80)).toBe('comparing disk.qcow2: 0 %, 0 B of 4 GiB');
  expect(progressText({ phase: 'x', doneBytes: 0, totalBytes: 0 }, 1, 80)).toBe('x: 100 %, 0 B of 0 B');
});

test('progress stays in one line of that width without control characters, whatever the name of the image', () => {
  const text = fc.string({ unit: anyCharacter, maxLength: 60, size: 'max' });
  fc.assert(
    fc.property(text, fc.nat(200), fc.nat(2 ** 45), (image, letters, doneBytes) => {
      const line = progressText({ phase: 'mapping', image, doneBytes, totalBytes: 2 ** 45 }, 1000, letters);
      expect(line.length).toBeLessThanOrEqual(Math.max(letters, 0));
      expect(line).not.toMatch(/\p{Cc}/u);
    }),
  );
});
