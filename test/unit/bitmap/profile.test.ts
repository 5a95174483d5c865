/** The profile of a bitmap: the marked shares of equal parts of the disk. */
import { expect, test } from 'vitest';
import { cleanBitmap, dirtyBytes, markRange } from '../../../src/bitmap/dirty-bitmap.ts';
import { dirtyProfile } from '../../../src/bitmap/profile.ts';

test.each([
  ['a small disk', 10 * 2 ** 20],
  ['a large disk', 2 ** 40],
])('the profile of %s shows the distribution of the marks', (_, sizeBytes) => {
  const bitmap = cleanBitmap(sizeBytes, 16);
  markRange(bitmap, 0, sizeBytes / 20);
  markRange(bitmap, sizeBytes / 2, sizeBytes / 40);
  const profile = dirtyProfile(bitmap, 20);
  expect(profile).toHaveLength(20);
  expect(profile[0]).toBeCloseTo(1, 2);
  expect(profile[10]).toBeCloseTo(0.5, 2);
  expect(profile.reduce((sum, share) => sum + share, 0) / 20).toBeCloseTo(dirtyBytes(bitmap) / sizeBytes, 3);
});

test('the last part of a profile ends with the last granule', () => {
  const granules = 20 * 2050 * 32 + 5;
  const bitmap = cleanBitmap(granules * 512, 9);
  markRange(bitmap, (granules - 1) * 512, 512);
  const profile = dirtyProfile(bitmap, 20);
  expect(profile.slice(0, 19)).toEqual(Array(19).fill(0));
  expect(profile[19]).toBeGreaterThan(0);
});

test('the profile of a disk with few granules has one part for each, and that of an empty disk none', () => {
  const bitmap = cleanBitmap(3 * 65536, 16);
  markRange(bitmap, 65536, 1);
  expect(dirtyProfile(bitmap, 20)).toEqual([0, 1, 0]);
  expect(dirtyProfile(cleanBitmap(0, 16), 20)).toEqual([]);
});
