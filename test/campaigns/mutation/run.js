/**
 * Mutation testing of the parts that guard data: does some test fail for each small change of the source?
 *
 *   npm run mutation -- [--sample N] [--seed N] [--folder FOLDER] [source files…]
 *   npm run mutation -- --unrecorded
 *
 * Without files all are tried. A mutant that survives must be explained in survivors.json, and is not tried again; one that
 * is not is printed, and the exit code is 1. A whole run of a file is recorded in score.json; --unrecorded lists the files
 * without a record, and explanations that no longer fit.
 * FOLDER keeps what was found, so that a run goes on where one ended: a killed mutant stays killed while its file is as
 * it was, and only survivors are tried again.
 */
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describedMutants } from './described.js';
import { mutatedFiles, testsOf } from './files.js';
import { mutantsOf } from './mutants.js';
import { reachOf } from './reach.js';
import { doubtfulExplanations, isExplained, unrecordedFiles, writeScore } from './records.js';
import { root } from './vitest-run.js';

/** @typedef {{ index: number, killer: string | null }} Result `killer` is a test file, or null of a survivor */
/** @typedef {import('./described.js').Described} Described */

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
    folder: { type: 'string' },
    unrecorded: { type: 'boolean' },
  },
});

const doubtful = doubtfulExplanations();
for (const each of doubtful) console.log(`explained in survivors.json: ${each}`);
if (options.unrecorded) {
  const files = unrecordedFiles();
  for (const file of files) console.log(file);
  console.log(`${files.length} of ${mutatedFiles().length} files have no record.`);
  process.exit(files.length + doubtful.length > 0 ? 1 : 0);
}

const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'bitmap-tool-mutation-'));
mkdirSync(folder, { recursive: true });
Object.assign(process.env, {
  BITMAP_TOOL_SHAPES: folder,
  BITMAP_TOOL_CRASH_SUBSETS: '1',
  BITMAP_TOOL_SEED: '1',
});

const total = { killed: 0, explained: 0, survived: 0 };
for (const file of positionals.length > 0 ? positionals : mutatedFiles()) {
  const text = readFileSync(join(root, file), 'utf8');
  const mutants = describedMutants(text);
  const indexes = chosen(mutants.length);
  const left = indexes.filter((index) => !isExplained(/** @type {Described} */ (mutants[index])));
  const survivors = await survivorsOf(file, text, left);
  for (const index of survivors) {
    const { within, change, line } = /** @type {Described} */ (mutants[index]);
    console.log(`survived: ${JSON.stringify({ within, change, reason: '' })} (line ${line})`);
  }
  const survived = survivors.length;
  const killed = left.length - survived;
  const known = indexes.length - left.length;
  total.killed += killed;
  total.explained += known;
  total.survived += survived;
  const found = `${killed} of ${indexes.length} killed, ${known} explained, ${survived} survived`;
  console.log(`${file}: ${found} (${mutants.length} mutants)`);
  if (indexes.length === mutants.length)
    writeScore(file, { mutants: mutants.length, killed, explained: known, survived });
}
const { killed, explained: known, survived } = total;
const count = killed + known + survived;
console.log(
  `${count} mutants: ${killed} killed (${((100 * killed) / Math.max(count, 1)).toFixed(1)} %), ${known} explained, ${survived} survived`,
);
process.exitCode = survived > 0 ? 1 : 0;

/** @param {number} count */
function chosen(count) {
  const all = Array.from({ length: count }, (_, index) => index);
  const size = Number(options.sample ?? count);
  if (size >= count) return all;
  // A linear congruence is random enough to spread a sample over a file.
  let state = Number(options.seed);
  const next = () => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state / 2 ** 31;
  };
  return all
    .map((index) => ({ index, place: next() }))
    .sort((a, b) => a.place - b.place)
    .slice(0, size)
    .map(({ index }) => index)
    .sort((a, b) => a - b);
}

/**
 * Tries the mutants that no earlier run has killed.
 *
 * @param {string} file
 * @param {string} text
 * @param {number[]} indexes
 * @returns {Promise<number[]>}
 */
async function survivorsOf(file, text, indexes) {
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const kept = join(folder, `${file.replaceAll('/', '-')}-${digest}.json`);
  /** @type {Map<number, string>} */
  const killers = new Map(existsSync(kept) ? JSON.parse(readFileSync(kept, 'utf8')) : []);
  const left = indexes.filter((index) => !killers.has(index));
  if (left.length > 0) {
    await judge(file, text, left, ({ index, killer }) => {
      process.stderr.write(killer === null ? '!' : '.');
      if (killer === null) return;
      killers.set(index, killer);
      writeFileSync(kept, JSON.stringify([...killers]));
    });
    process.stderr.write('\n');
  }
  return indexes.filter((index) => !killers.has(index));
}

/**
 * Tries each mutant on the tests that reach it. Where a process hangs or dies, another one begins with the same mutant: once
 * may be the machine's fault, twice means that the mutant is killed.
 *
 * @param {string} file
 * @param {string} text
 * @param {number[]} indexes
 * @param {(result: Result) => void} onResult
 */
async function judge(file, text, indexes, onResult) {
  const reaches = await reachOf(mutatedFiles(), testsOf(file), folder);
  const mutants = mutantsOf(text);
  const jobs = indexes.map((index) => {
    const { place } = /** @type {import('./mutants.js').Mutant} */ (mutants[index]);
    const candidates = reaches.filter(({ reached }) =>
      reached.some((each) => (place === 0 ? each.startsWith(`${file}:`) : each === `${file}:${place}`)),
    );
    return { index, candidates: candidates.map(({ test, ms }) => ({ test, ms })) };
  });
  let suspect = -1;
  for (let done = 0; done < jobs.length; ) {
    const before = done;
    const unfinished = await runWorker({ file, jobs: jobs.slice(done) }, (result) => {
      done++;
      onResult(result);
    });
    if (unfinished === undefined && done === before) throw new Error(`${file}: its tests do not start`);
    if (unfinished !== undefined && unfinished.index === suspect) {
      done++;
      onResult(unfinished);
    }
    suspect = unfinished?.index ?? -1;
  }
}

/**
 * @param {import('./worker.js').Task} task
 * @param {(result: Result) => void} onResult
 * @returns {Promise<Result | undefined>} of the mutant on which it ended, if it did not come through
 */
function runWorker(task, onResult) {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('worker.js', import.meta.url)), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child.send(task);
    /** @type {Result | undefined} of the current mutant, in case it hangs */
    let current;
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    child.on('message', (/** @type {import('./worker.js').Message} */ message) => {
      clearTimeout(timer);
      if ('killer' in message) {
        current = undefined;
        onResult(message);
      } else {
        current = { index: message.index, killer: message.test };
        // An endless loop is noticed too.
        timer = setTimeout(() => child.kill('SIGKILL'), 10_000 + 5 * message.ms);
      }
    });
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(timer);
      resolve(current);
    });
  });
}
