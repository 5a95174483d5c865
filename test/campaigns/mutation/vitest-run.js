/** Vitest as mutation testing needs it: source files changed in memory, test files in the order that they are given in. */
import { fileURLToPath } from 'node:url';
import { BaseSequencer, createVitest } from 'vitest/node';

export const root = fileURLToPath(new URL('../../..', import.meta.url));

class AsGiven extends BaseSequencer {
  /** @override @param {import('vitest/node').TestSpecification[]} files */
  async sort(files) {
    return files;
  }
}

/**
 * @param {string[]} include patterns of test files
 * @param {(path: string) => string | undefined} sourceOf the changed text of a file
 */
export async function startVitest(include, sourceOf) {
  const vitest = await createVitest(
    'test',
    {
      root,
      // The projects of vitest.config.ts have options of their own.
      config: false,
      include,
      watch: false,
      reporters: [{}],
      setupFiles: ['test/campaigns/mutation/setup.js'],
      pool: 'threads',
      maxWorkers: 1,
      // The files of one run share the modules, which all have the same mutant.
      isolate: false,
      sequence: { sequencer: AsGiven },
      bail: 1,
      testTimeout: 60_000,
      coverage: { enabled: false },
    },
    { plugins: [{ name: 'mutant', enforce: 'pre', load: (/** @type {string} */ id) => sourceOf(id) }] },
  );
  await vitest.standalone();
  return vitest;
}

/**
 * @param {import('vitest/node').Vitest} vitest
 * @param {import('vitest/node').TestSpecification[]} specifications
 * @returns {Promise<{ moduleId: string, message: string } | undefined>} what failed first
 */
export async function failureOf(vitest, specifications) {
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications);
  const wanted = new Set(specifications.map(({ moduleId }) => moduleId));
  // The others are those of earlier runs.
  const own = testModules.filter(({ moduleId }) => wanted.has(moduleId));
  const failed = own.find((module) => module.state() === 'failed');
  if (failed === undefined && unhandledErrors.length === 0) {
    if (own.length === wanted.size && own.every((module) => module.state() === 'passed')) return undefined;
    throw new Error(`of ${specifications.length} test files only ${own.length} ran`);
  }
  const [test] = failed?.children.allTests('failed') ?? [];
  const error = test?.result().errors?.[0] ?? failed?.errors()[0] ?? unhandledErrors[0];
  const text = error?.message;
  const moduleId = failed?.moduleId ?? specifications[0]?.moduleId ?? '';
  return { moduleId, message: `${test?.fullName ?? ''}: ${text}` };
}
