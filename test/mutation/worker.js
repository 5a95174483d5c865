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
    reporters: [{}],
    globalSetup: [],
    pool: 'threads',
    maxWorkers: 1,
    testTimeout: 60_000,
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
const found = await vitest.globTestSpecifications();
if (found.length === 0) throw new Error(`no tests for ${task.file}`);
// In the order of the task, by folder: those that know the file best come first.
const place = (/** @type {string} */ module) =>
  task.tests.findIndex((pattern) => module.includes(pattern.slice(0, pattern.lastIndexOf('/'))));
const specifications = found.toSorted((a, b) => place(a.moduleId) - place(b.moduleId));
for (const index of task.indexes) {
  const mutant = index < 0 ? undefined : mutants[index];
  process.send?.({ kind: 'begin', index });
  mutated = mutant === undefined ? text : applied(text, mutant);
  vitest.invalidateFile(path);
  let passed = true;
  // One file after the other, so that the first failure ends it.
  for (const specification of specifications) {
    const { testModules, unhandledErrors } = await vitest.runTestSpecifications([specification]);
    // The others are those of earlier runs.
    const own = testModules.find(({ moduleId }) => moduleId === specification.moduleId);
    passed = unhandledErrors.length === 0 && own?.ok() === true;
    if (!passed) break;
  }
  process.send?.({ kind: 'end', index, passed });
}
await vitest.close();
process.exit(0);
