/** What is known of the mutants of a file: how many each run killed, and why no test can notice the others. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describedMutants } from './described.js';
import { mutatedFiles } from './files.js';
import { root } from './vitest-run.js';

/**
 * @typedef {{ within: string, change: string | string[], reason: string }} Explanation
 * @typedef {{ mutants: number, killed: number, explained: number, survived: number }} Score
 */

const scores = new URL('score.json', import.meta.url);
/** @type {Explanation[]} */
const explanations = JSON.parse(readFileSync(new URL('survivors.json', import.meta.url), 'utf8'));

/** @param {import('./described.js').Described} mutant */
export function isExplained({ within, change }) {
  return explanations.some((each) => each.within === within && [each.change].flat().includes(change));
}

/**
 * Identifies the mutants of a file by their names: it stays the same when the file moves, or only its comments change.
 *
 * @param {string} text
 */
function fingerprint(text) {
  const names = describedMutants(text).map(({ within, change }) => `${within}: ${change}`);
  return createHash('sha256').update(names.sort().join('\n')).digest('hex').slice(0, 16);
}

/** @returns {Record<string, Score & { fingerprint: string }>} by file */
function readScores() {
  return existsSync(scores) ? JSON.parse(readFileSync(scores, 'utf8')) : {};
}

/** Replaces the record of a file, and drops those of files that are gone. @param {string} file @param {Score} score */
export function writeScore(file, score) {
  const all = readScores();
  all[file] = { ...score, fingerprint: fingerprint(read(file)) };
  const rows = Object.keys(all)
    .filter((name) => existsSync(join(root, name)))
    .sort()
    .map((name) => `  "${name}": ${JSON.stringify(all[name], null, 1).replaceAll(/\n */g, ' ')}`);
  writeFileSync(scores, `{\n${rows.join(',\n')}\n}\n`);
}

/** @returns {string[]} files whose mutants, as they are now, no whole run has tried */
export function unrecordedFiles() {
  const known = new Set(Object.values(readScores()).map((each) => each.fingerprint));
  return mutatedFiles().filter((file) => !known.has(fingerprint(read(file))));
}

/** @returns {string[]} explanations that fit no mutant, or mutants of several files */
export function doubtfulExplanations() {
  const files = mutatedFiles().map((file) => new Set(describedMutants(read(file)).map(nameOf)));
  return explanations
    .flatMap(({ within, change }) => [change].flat().map((one) => nameOf({ within, change: one })))
    .flatMap((name) => {
      const count = files.filter((names) => names.has(name)).length;
      return count === 1 ? [] : [`${name} (${count === 0 ? 'no such mutant' : `in ${count} files`})`];
    });
}

/** @param {{ within: string, change: string }} mutant */
function nameOf({ within, change }) {
  return `${within}: ${change}`;
}

/** @param {string} file */
function read(file) {
  return readFileSync(join(root, file), 'utf8');
}
