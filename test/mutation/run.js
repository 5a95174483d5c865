/**
 * Mutation testing of the parts that guard data: does some test fail for each small change of the source?
 *
 *   npm run mutation -- [--sample N] [--seed N] [--folder FOLDER] [source files…]
 *
 * Without files all that TESTS lists are tried. A survivor must be explained in survivors.json, by file, text of the line
 * and change; one that is not is printed, and the exit code is 1. FOLDER keeps images between runs.
 */
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mutantsOf } from './mutants.js';

/** @typedef {import('./mutants.js').Mutant} Mutant */

const root = fileURLToPath(new URL('../..', import.meta.url));

/** An endless loop is noticed too. */
const PATIENCE_MS = 180_000;

/** The fastest tests that guard a file, and run its source rather than the built program; its own come first. */
const UNIT = ['test/format/*.test.ts', 'test/image/*.test.ts', 'test/bitmap/*.test.ts'];
const GOLDEN = ['test/golden/bitmaps.test.ts', 'test/golden/map.test.ts', 'test/golden/create-from.test.ts'];
const READING = [...UNIT, ...GOLDEN];
/** @type {Record<string, string[]>} by folder, or by file where that has its own */
const TESTS = {
  'src/format': READING,
  'src/image': READING,
  'src/image/apply-plan.ts': ['test/crash/changes.test.ts'],
  'src/image/header-switch.ts': [...UNIT, 'test/crash/header.test.ts'],
  'src/image/header-room.ts': [...UNIT, 'test/crash/header.test.ts'],
  'src/image/refcount-plan.ts': [...UNIT, 'test/crash/refcounts.test.ts'],
  'src/image/claims.ts': [...UNIT, 'test/crash/refcounts.test.ts'],
  'src/image/free-clusters.ts': [...UNIT, 'test/crash/refcounts.test.ts', 'test/crash/changes.test.ts'],
  'src/image/host-clusters.ts': [...UNIT, 'test/crash/changes.test.ts'],
  'src/image/references.ts': [...UNIT, 'test/crash/changes.test.ts'],
  'src/bitmap': [...READING, 'test/crash/changes.test.ts'],
  'src/checkpoint': ['test/checkpoint/*.test.ts'],
};

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
    folder: { type: 'string' },
  },
});

/** @type {{ file: string, line: string, change: string, reason: string }[]} */
const explained = JSON.parse(readFileSync(new URL('survivors.json', import.meta.url), 'utf8'));
const shapes = options.folder ?? mkdtempSync(join(tmpdir(), 'bitmap-tool-mutation-'));
mkdirSync(shapes, { recursive: true });

const files = positionals.length > 0 ? positionals : allFiles();
const total = { killed: 0, explained: 0, survived: 0 };
for (const file of files) {
  const text = readFileSync(join(root, file), 'utf8');
  const mutants = mutantsOf(text);
  const indexes = chosen(mutants.length);
  const lines = text.split('\n');
  let [killed, known, survived] = [0, 0, 0];
  for await (const { index, passed } of judged(file, indexes)) {
    const mutant = /** @type {Mutant} */ (mutants[index]);
    const line = (lines[mutant.line - 1] ?? '').trim();
    const change = `${mutant.was} → ${mutant.replacement}`;
    if (!passed) killed++;
    else if (explained.some((each) => each.file === file && each.line === line && each.change === change))
      known++;
    else {
      survived++;
      console.log(`survived: ${JSON.stringify({ file, line, change, reason: '' })} (line ${mutant.line})`);
    }
  }
  total.killed += killed;
  total.explained += known;
  total.survived += survived;
  console.log(
    `${file}: ${killed} of ${indexes.length} killed, ${known} explained, ${survived} survived (${mutants.length} mutants)`,
  );
}
const { killed, explained: known, survived } = total;
const count = killed + known + survived;
console.log(
  `${count} mutants: ${killed} killed (${((100 * killed) / Math.max(count, 1)).toFixed(1)} %), ${known} explained, ${survived} survived`,
);
process.exitCode = survived > 0 ? 1 : 0;

function allFiles() {
  return Object.keys(TESTS)
    .filter((folder) => !folder.endsWith('.ts'))
    .flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}`));
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

/**
 * Runs the tests on each mutant. A process that hangs or dies has killed its mutant, and another one goes on.
 *
 * @param {string} file
 * @param {number[]} indexes
 * @returns {AsyncGenerator<{ index: number, passed: boolean }>}
 */
async function* judged(file, indexes) {
  const folder = file.slice(0, file.lastIndexOf('/'));
  const tests = TESTS[file] ?? TESTS[folder] ?? READING;
  // The tests must pass on the source as it is, or nothing below means anything.
  let left = [-1, ...indexes];
  while (left.length > 0) {
    /** @type {{ index: number, passed: boolean }[]} */
    const results = [];
    await runWorker(file, tests, left, (result) => results.push(result));
    for (const result of results) {
      if (result.index >= 0) yield result;
      else if (!result.passed) throw new Error(`${file}: its tests fail without any mutant`);
    }
    if (results.length === 0) throw new Error(`${file}: its tests do not start`);
    left = left.slice(results.length);
  }
}

/**
 * @param {string} file
 * @param {string[]} tests
 * @param {number[]} indexes
 * @param {(result: { index: number, passed: boolean }) => void} onResult
 * @returns {Promise<void>}
 */
function runWorker(file, tests, indexes, onResult) {
  return new Promise((resolve, reject) => {
    const child = fork(
      fileURLToPath(new URL('worker.js', import.meta.url)),
      [JSON.stringify({ root, file, tests, indexes })],
      {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
        env: {
          ...process.env,
          BITMAP_TOOL_SHAPES: shapes,
          BITMAP_TOOL_CRASH_SUBSETS: '1',
          BITMAP_TOOL_SEED: '1',
        },
      },
    );
    /** @type {number | undefined} */
    let current;
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    child.on('message', (/** @type {{ kind: string, index: number, passed: boolean }} */ message) => {
      clearTimeout(timer);
      if (message.kind === 'begin') {
        current = message.index;
        timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
      } else {
        current = undefined;
        onResult({ index: message.index, passed: message.passed });
      }
    });
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(timer);
      if (current !== undefined) onResult({ index: current, passed: false });
      resolve();
    });
  });
}
