/** Tries one mutant after the other, and tells its parent which test kills it; the parent watches the time. */
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { applied, mutantsOf } from './mutants.js';
import { failureOf, root, startVitest } from './vitest-run.js';

/**
 * @typedef {{ test: string, ms: number }} Candidate
 * @typedef {{ file: string, jobs: { index: number, candidates: Candidate[] }[] }} Task
 * @typedef {{ index: number, test?: string, ms: number } | { index: number, killer: string | null }} Message
 */

const { file, jobs } = await new Promise((/** @type {(task: Task) => void} */ resolve) =>
  process.once('message', (task) => resolve(/** @type {Task} */ (task))),
);
/** @param {Message} message */
const tell = (message) => process.send?.(message);

const path = join(root, file);
const text = readFileSync(path, 'utf8');
const mutants = mutantsOf(text);
let mutated = text;
const tests = [...new Set(jobs.flatMap(({ candidates }) => candidates.map(({ test }) => test)))];
const vitest = await startVitest(tests, (id) => (id === path ? mutated : undefined));
const specifications = new Map(
  (await vitest.globTestSpecifications()).map((each) => [relative(root, each.moduleId), each]),
);

// First whatever is likely to kill it soon: those that have killed most in the least time, and the file's own test.
const own = file.replace('src/', 'test/unit/').replace(/\.ts$/, '.test.ts');
const kills = new Map([[own, 10]]);
/** @param {Candidate} candidate */
const worth = ({ test, ms }) => ((kills.get(test) ?? 0) + 1) / ms;

for (const { index, candidates } of jobs) {
  const mutant = mutants[index];
  if (mutant === undefined) throw new RangeError(`no mutant ${index} of ${file}`);
  mutated = applied(text, mutant);
  vitest.invalidateFile(path);
  const [first, ...others] = candidates.toSorted((a, b) => worth(b) - worth(a));
  let killer = null;
  // Most mutants are killed by the first file; for the others it is faster to run all that are left at once.
  for (const batch of [first === undefined ? [] : [first], others]) {
    if (batch.length === 0 || killer !== null) continue;
    tell({
      index,
      test: batch.map(({ test }) => test).join(' '),
      ms: batch.reduce((sum, { ms }) => sum + ms, 0),
    });
    const chosen = batch.map(({ test }) => {
      const specification = specifications.get(test);
      if (specification === undefined) throw new Error(`no ${test}`);
      return specification;
    });
    const failure = await failureOf(vitest, chosen);
    if (failure === undefined) continue;
    killer = relative(root, failure.moduleId);
    kills.set(killer, (kills.get(killer) ?? 0) + 1);
  }
  tell({ index, killer });
}
await vitest.close();
process.exit(0);
