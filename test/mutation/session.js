/** Vitest as mutation testing needs it: source files changed in memory, one test file after the other. */
import { fileURLToPath } from 'node:url';
import { createVitest } from 'vitest/node';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * @param {string[]} include patterns of test files
 * @param {(path: string) => string | undefined} sourceOf the changed text of a file
 */
export async function startVitest(include, sourceOf) {
  const vitest = await createVitest(
    'test',
    {
      root,
      include,
      watch: false,
      reporters: [{}],
      setupFiles: ['test/mutation/setup.js'],
      pool: 'threads',
      maxWorkers: 1,
      bail: 1,
      testTimeout: 30_000,
      coverage: { enabled: false },
    },
    { plugins: [{ name: 'mutant', enforce: 'pre', load: (/** @type {string} */ id) => sourceOf(id) }] },
  );
  await vitest.standalone();
  return vitest;
}

/**
 * @param {import('vitest/node').Vitest} vitest
 * @param {import('vitest/node').TestSpecification} specification
 * @returns {Promise<string | undefined>} what failed
 */
export async function failureOf(vitest, specification) {
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications([specification]);
  // The others are those of earlier runs.
  const own = testModules.find(({ moduleId }) => moduleId === specification.moduleId);
  if (own === undefined) return 'the test file did not run';
  if (own.ok() && unhandledErrors.length === 0) return undefined;
  const [failed] = own.children.allTests('failed');
  const error = failed?.result().errors?.[0] ?? own.errors()[0] ?? unhandledErrors[0];
  return `${failed?.fullName ?? own.relativeModuleId}: ${error instanceof Error ? error.message : JSON.stringify(error)}`;
}
