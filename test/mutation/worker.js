/** Runs the tests on one mutant after the other, and tells its parent which survive; the parent watches the time. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createVitest } from 'vitest/node';
import { applied, mutantsOf } from './mutants.js';

/** @type {{ root: string, file: string, tests: string[], indexes: number[] }} */
const task = JSON.parse(process.argv[2] ?? '');
const path = join(task.root, task.file);
const text = readFileSync(path, 'utf8');
const mutants = mutantsOf(text);

let mutated = text;
const vitest = await createVitest(
  'test',
  {
    root: task.root,
    watch: false,
    bail: 1,
    reporters: [{}],
    globalSetup: [],
    pool: 'threads',
    maxWorkers: 1,
    testTimeout: 20_000,
    include: task.tests,
    coverage: { enabled: false },
  },
  {
    plugins: [
      {
        name: 'mutant',
        enforce: 'pre',
        load: (/** @type {string} */ id) => (id === path ? mutated : undefined),
      },
    ],
  },
);
await vitest.standalone();
const specifications = await vitest.globTestSpecifications(task.tests);
// Each mutant starts with its own folder's tests, which know it best.
for (const index of task.indexes) {
  const mutant = index < 0 ? undefined : mutants[index];
  process.send?.({ kind: 'begin', index });
  mutated = mutant === undefined ? text : applied(text, mutant);
  vitest.invalidateFile(path);
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications);
  const passed = unhandledErrors.length === 0 && testModules.every((module) => module.ok());
  process.send?.({ kind: 'end', index, passed });
}
await vitest.close();
process.exit(0);
