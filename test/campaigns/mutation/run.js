/**
 * Mutation testing of the parts that guard data: does some test fail for each small change of the source?
 *
 *   npm run mutation -- [--sample N] [--seed N] [--folder FOLDER] [source files…]
 *
 * Without files all of FOLDERS are tried. A survivor must be explained in survivors.json, by file, text of the line and
 * change (or several changes), and is not tried again; one that is not is printed, and the exit code is 1. What is known
 * of a file is written to score.json.
 * FOLDER keeps what was found, so that a run goes on where one ended: what was killed stays killed while its file is as
 * it was, and only survivors are tried again.
 */
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mutantsOf } from './mutants.js';
import { reachOf } from './reach.js';
import { root } from './vitest-run.js';

/** @typedef {{ index: number, killer: string | null }} Result `killer` is a test file, or null of a survivor */

const FOLDERS = ['src/bitmap', 'src/checkpoint', 'src/format', 'src/image', 'src/census', 'src/plan'];

/** Tests that run the sources themselves, not the built program; the fastest that guard a file. */
const FORMAT = [
  'test/unit/format/!(l2-scan).test.ts',
  'test/qemu/image/bitmap-rules.test.ts',
  'test/unit/census/metadata.test.ts',
];
const L2 = [
  'test/unit/format/l2-*.test.ts',
  'test/unit/image/read-l2-tables.test.ts',
  'test/unit/census/metadata.test.ts',
];
const IMAGE = [
  'test/unit/format/!(l2-scan).test.ts',
  'test/unit/{image,census,plan}/*.test.ts',
  'test/unit/bitmap/*.test.ts',
];
const READING = [
  ...IMAGE,
  'test/unit/inspection/committed-images.test.ts',
  'test/unit/golden/bitmaps.test.ts',
];
/** @type {Record<string, string[]>} by folder, or by file where that has its own */
const TESTS = {
  'src/bitmap': ['test/unit/bitmap/*.test.ts', 'test/unit/golden/bitmaps.test.ts'],
  'src/checkpoint': ['test/{unit,qemu}/checkpoint/**/*.test.ts'],
  'src/format': FORMAT,
  'src/format/l2-entry.ts': L2,
  'src/format/l2-kernel.ts': L2,
  'src/format/l2-scan.ts': L2,
  'src/format/l2-table.ts': L2,
  'src/image': READING,
  'src/census': READING,
  'src/plan': READING,
  'src/plan/apply-plan.ts': ['test/campaigns/crash/changes.test.ts'],
  'src/plan/header-switch.ts': [...IMAGE, 'test/campaigns/crash/header.test.ts'],
  'src/plan/header-room.ts': [...IMAGE, 'test/campaigns/crash/header.test.ts'],
  'src/plan/refcount-steps.ts': [...IMAGE, 'test/campaigns/crash/refcounts.test.ts'],
  'src/plan/claim-clusters.ts': [...IMAGE, 'test/campaigns/crash/refcounts.test.ts'],
  'src/plan/free-clusters.ts': [
    ...IMAGE,
    'test/campaigns/crash/refcounts.test.ts',
    'test/campaigns/crash/changes.test.ts',
  ],
  'src/census/host-clusters.ts': [...IMAGE, 'test/campaigns/crash/changes.test.ts'],
  'src/census/metadata.ts': [...IMAGE, 'test/campaigns/crash/changes.test.ts'],
};

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
    folder: { type: 'string' },
  },
});

/** @type {{ file: string, line: string, change: string | string[], reason: string }[]} */
const explained = JSON.parse(readFileSync(new URL('survivors.json', import.meta.url), 'utf8'));
const scores = new URL('score.json', import.meta.url);
const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'bitmap-tool-mutation-'));
mkdirSync(folder, { recursive: true });
Object.assign(process.env, {
  BITMAP_TOOL_SHAPES: folder,
  BITMAP_TOOL_CRASH_SUBSETS: '1',
  BITMAP_TOOL_SEED: '1',
});

const total = { killed: 0, explained: 0, survived: 0 };
for (const file of positionals.length > 0 ? positionals : allFiles()) {
  const text = readFileSync(join(root, file), 'utf8');
  const mutants = describedMutants(text);
  const isExplained = (/** @type {Described} */ { line, change }) =>
    explained.some(
      (each) => each.file === file && each.line === line && [each.change].flat().includes(change),
    );
  for (const { line, change } of explained.filter((each) => each.file === file)) {
    for (const one of [change].flat()) {
      if (mutants.some((mutant) => mutant.line === line && mutant.change === one)) continue;
      throw new Error(`survivors.json explains what is no mutant of ${file}: ${one} in ${line}`);
    }
  }
  const indexes = chosen(mutants.length);
  const left = indexes.filter((index) => !isExplained(/** @type {Described} */ (mutants[index])));
  const survivors = await survivorsOf(file, text, left);
  for (const index of survivors) {
    const { line, change, lineNumber } = /** @type {Described} */ (mutants[index]);
    console.log(`survived: ${JSON.stringify({ file, line, change, reason: '' })} (line ${lineNumber})`);
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
    record(file, { mutants: mutants.length, killed, explained: known, survived });
}
const { killed, explained: known, survived } = total;
const count = killed + known + survived;
console.log(
  `${count} mutants: ${killed} killed (${((100 * killed) / Math.max(count, 1)).toFixed(1)} %), ${known} explained, ${survived} survived`,
);
process.exitCode = survived > 0 ? 1 : 0;

function allFiles() {
  return FOLDERS.flatMap((from) =>
    readdirSync(join(root, from))
      // The kernel's code is written by kernel.js.
      .filter((name) => name.endsWith('.ts') && name !== 'l2-kernel-code.ts')
      .map((name) => `${from}/${name}`),
  );
}

/**
 * @typedef {{ line: string, change: string, lineNumber: number }} Described
 * @param {string} text
 * @returns {Described[]} the mutants as survivors.json names them
 */
function describedMutants(text) {
  const lines = text.split('\n').map((line) => line.trim());
  const nameOf = (/** @type {number} */ index) => {
    const line = lines[index] ?? '';
    const same = lines.flatMap((each, at) => (each === line ? [at] : []));
    return same.length === 1 ? line : `${line} (${same.indexOf(index) + 1} of ${same.length})`;
  };
  const mutants = mutantsOf(text).map(({ line, was, replacement }) => ({
    line: nameOf(line - 1),
    change: `${was} → ${replacement}`,
    lineNumber: line,
  }));
  return mutants.map((mutant) => {
    const same = mutants.filter(
      ({ lineNumber, change }) => lineNumber === mutant.lineNumber && change === mutant.change,
    );
    if (same.length === 1) return mutant;
    return { ...mutant, change: `${mutant.change} (${same.indexOf(mutant) + 1} of ${same.length})` };
  });
}

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

/** One line for each file, by name. @param {string} file @param {Record<string, number>} score */
function record(file, score) {
  const all = existsSync(scores) ? JSON.parse(readFileSync(scores, 'utf8')) : {};
  all[file] = score;
  const rows = Object.keys(all)
    .sort()
    .map((name) => `  "${name}": ${JSON.stringify(all[name], null, 1).replaceAll(/\n */g, ' ')}`);
  writeFileSync(scores, `{\n${rows.join(',\n')}\n}\n`);
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
  const tests = TESTS[file] ?? TESTS[file.slice(0, file.lastIndexOf('/'))] ?? [];
  const reaches = await reachOf(allFiles(), tests, folder);
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
    /** @type {Result | undefined} of the mutant that is being tried, were it to hang */
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
