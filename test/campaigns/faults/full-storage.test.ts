/**
 * The real process on storage that becomes full, with any number of free pages: a tmpfs, which refuses a write, and a thin
 * volume, which accepts writes and refuses the flush.
 *
 * Of many numbers some are tried, by chance; BITMAP_TOOL_FAULTS=all tries every one.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { randomCases, seededRandom } from '../../support/random.ts';
import { chosen } from './chosen.ts';
import { type FullRun, runOnStorage, type StorageKind } from './full-storage.ts';
import { faultsFound, tally } from './judge.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import { prepareTrial, type Trial } from './trial.ts';

const PLENTY = 1000;
const USUAL_COUNTS = 5;

afterAll(() => console.log(`faults of full storage: ${JSON.stringify(tally)}`));

describe.each(['file', 'volume'] as const)('on a %s', (kind) => {
  test.each(SCENARIOS)(
    '$name',
    async (scenario) => {
      const trial = await prepareTrial(scenario);
      const roomy = await runOnStorage(kind, PLENTY, trial, scenario.args);
      expect(roomy.exitCode, roomy.stderr).toBe(0);
      const { seed, again } = randomCases(1)[0]!;
      const counts = Array.from({ length: roomy.pagesTaken + 1 }, (_, pages) => pages);
      const isEdge = (pages: number) => pages === 0 || pages >= roomy.pagesTaken - 1;
      const tried = chosen(counts, USUAL_COUNTS, seededRandom(seed), isEdge);
      const padded = kind === 'file' ? trial : await asStored(roomy, trial);
      const verdicts: string[] = [];
      for (const pages of tried) verdicts.push(await verdict(kind, pages, roomy, scenario, padded));
      expect(verdicts.join(''), again).toBe('');
    },
    3600_000,
  );
});

/** Files may be padded by holes: a volume is longer than its image. */
async function asStored({ image }: FullRun, trial: Trial): Promise<Trial> {
  const changed = await readFile(image);
  const original = Buffer.alloc(changed.length);
  trial.original.copy(original);
  return { ...trial, original, changed };
}

async function verdict(
  kind: StorageKind,
  pages: number,
  { pagesTaken }: FullRun,
  { args }: Scenario,
  trial: Trial,
): Promise<string> {
  const run = await runOnStorage(kind, pages, trial, args);
  const found = await faultsFound(run.image, run, trial);
  if ((run.exitCode === 0) !== pages >= pagesTaken) found.push(`exit code ${run.exitCode}`);
  if (run.exitCode === 1 && !tells[kind].test(run.stderr)) found.push('it does not say what to do');
  return found.length === 0 ? '' : `${pages} of ${pagesTaken} pages: ${found.join('; ')}\n  ${run.stderr}\n`;
}

const tells = {
  file: /\/disk\.qcow2: could not write .*: no space left \(ENOSPC\).*\n.*Free some space on that file system\./,
  volume: /\/disk\.qcow2: could not flush: EIO.*\n.*Remove the cause\./,
};
