/** The inspection of every committed image finds the leaks and errors of `qemu-img check`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { ProblemCode } from '../../../src/index.ts';
import { inspectFile } from './inspect.ts';

interface CheckAnswer {
  'check-errors': number;
  leaks?: number;
  corruptions?: number;
}

const images = fileURLToPath(new URL('../../../fixtures/images', import.meta.url));

const cases = readdirSync(images).flatMap((folder) => {
  const answers: Record<string, CheckAnswer> = JSON.parse(
    readFileSync(join(images, folder, 'check.json'), 'utf8'),
  );
  return Object.entries(answers).map(([file, answer]) => ({ image: `${folder}/${file}`, answer }));
});

/** Those for which `qemu-img check` has no word. */
const notForQemu: readonly ProblemCode[] = [
  'in-use',
  'stale',
  'version-2',
  'marked-corrupt',
  'marked-dirty',
  'unknown-autoclear',
];

test.each(cases)('$image', async ({ image, answer }) => {
  const { problems, unopenable, leakedClusters, uncountedClusters } = await inspectFile(join(images, image));
  const codes = problems.map(({ code }) => code).filter((code) => !notForQemu.includes(code));
  expect(unopenable).toBe(false);
  expect(leakedClusters).toBe(answer.leaks ?? 0);
  // QEMU also counts a wrong COPIED flag for each refcount that is too low.
  expect(uncountedClusters > 0).toBe((answer.corruptions ?? 0) > 0);
  const expected: ProblemCode[] = [];
  if (uncountedClusters > 0) expected.push('refcount-too-low');
  if (leakedClusters > 0) expected.push('leaked-clusters');
  expect(codes).toEqual(expected);
});

test('images that are marked dirty or corrupt, and bitmaps in use, are reported', async () => {
  const codesOf = async (image: string) =>
    (await inspectFile(join(images, image))).problems.map(({ code }) => code);
  expect(await codesOf('marked-corrupt/disk.qcow2')).toContain('marked-corrupt');
  expect(await codesOf('lazy-refcounts-killed/disk.qcow2')).toContain('marked-dirty');
  expect(await codesOf('bitmap-in-use/disk.qcow2')).toContain('in-use');
  expect(await codesOf('bitmap-autoclear-cleared/disk.qcow2')).toEqual(['stale', 'leaked-clusters']);
});
