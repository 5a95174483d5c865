/**
 * The real process on storage that becomes full, for each number of pages that are still free: a tmpfs, which writes what
 * fits and then refuses, and a thin volume, which takes the writes and refuses the flush.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { type FullRun, runOnStorage, type StorageKind } from './full-storage.ts';
import { faultsFound, tally } from './judge.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import { prepareTrial, type Trial } from './trial.ts';

const PLENTY = 1000;

afterAll(() => console.log(`faults of full storage: ${JSON.stringify(tally)}`));

describe.each(['file', 'volume'] as const)('on a %s', (kind) => {
  test.each(SCENARIOS)('$name', async (scenario) => {
    const trial = await prepareTrial(scenario);
    const roomy = await runOnStorage(kind, PLENTY, trial, scenario.args);
    expect(roomy.exitCode, roomy.stderr).toBe(0);
    const counts = Array.from({ length: roomy.pagesTaken + 1 }, (_, pages) => pages);
    const padded = kind === 'file' ? trial : await asStored(roomy, trial);
    const verdicts = await Promise.all(counts.map((pages) => verdict(kind, pages, roomy, scenario, padded)));
    expect(verdicts.join('')).toBe('');
  });
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
  file: /\/disk\.qcow2: could not write .*: no space left \(ENOSPC\).*\n.* Free some space on that file system\./,
  volume: /\/disk\.qcow2: could not flush: EIO.*\n.* Mend the cause first\./,
};
