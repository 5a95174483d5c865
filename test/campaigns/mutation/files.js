/** Which sources are mutated, and which tests guard them. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './vitest-run.js';

const FOLDERS = ['bitmap', 'bytes', 'census', 'checkpoint', 'format', 'image', 'plan'].map(
  (name) => `src/${name}`,
);

/** The fastest tests that guard a place, of those that run the sources themselves and not the built program. */
const FORMAT = ['test/unit/format/!(l2-scan).test.ts', 'test/qemu/image/bitmap-rules.test.ts'];
const L2 = ['test/unit/format/l2-*.test.ts', 'test/unit/image/*l2*.test.ts', 'test/unit/census/*.test.ts'];
const IMAGE = [
  ...FORMAT,
  ...['image', 'census', 'plan', 'bitmap'].map((name) => `test/unit/${name}/*.test.ts`),
  'test/qemu/image/*.test.ts',
];
const CRASH = 'test/campaigns/crash';
/** By file or folder: the longest that fits counts. @type {Record<string, string[]>} */
const TESTS = {
  'src/bitmap': ['test/unit/bitmap/*.test.ts', 'test/unit/golden/bitmaps.test.ts'],
  'src/bytes': ['test/unit/bytes/*.test.ts', 'test/unit/bitmap/*.test.ts'],
  'src/census': [...IMAGE, `${CRASH}/changes.test.ts`],
  'src/checkpoint': ['test/unit/checkpoint/**/*.test.ts', 'test/qemu/checkpoint/**/*.test.ts'],
  'src/format': FORMAT,
  'src/format/l2-': L2,
  'src/image': [...IMAGE, 'test/unit/inspection/*.test.ts', 'test/unit/golden/bitmaps.test.ts'],
  'src/plan': [...IMAGE, ...['changes', 'header', 'refcounts'].map((name) => `${CRASH}/${name}.test.ts`)],
  'src/plan/apply-plan.ts': ['test/unit/plan/apply-plan.test.ts', `${CRASH}/changes.test.ts`],
};

/** @returns {string[]} */
export function mutatedFiles() {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      // The code of kernels is written by kernel.js.
      .filter((name) => name.endsWith('.ts') && !name.endsWith('-kernel-code.ts'))
      .map((name) => join(folder, name)),
  ).sort();
}

/** @param {string} file @returns {string[]} patterns */
export function testsOf(file) {
  const [best] = Object.keys(TESTS)
    .filter((start) => file.startsWith(start))
    .sort((a, b) => b.length - a.length);
  return best === undefined ? [] : (TESTS[best] ?? []);
}
