/**
 * The real process with a limit of the file size (RLIMIT_FSIZE) within a write. The kernel shortens that write and refuses the
 * next one.
 *
 * Some limits are tried, by chance; BITMAP_TOOL_FAULTS=all tries every one, sector by sector.
 */
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { randomCases, seededRandom } from '../../support/random.ts';
import { chosen } from './chosen.ts';
import { faultsFound, type Outcome, tally } from './judge.ts';
import { SCENARIOS } from './scenarios.ts';
import { prepareTrial } from './trial.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
const USUAL_LIMITS = 5;
const SECTOR_BYTES = 512;

afterAll(() => console.log(`faults of a file size limit: ${JSON.stringify(tally)}`));

describe.each(SCENARIOS)('$name', ({ args, ...scenario }) => {
  test('survives any limit of the file size', async () => {
    const { seed, again } = randomCases(1)[0]!;
    const trial = await prepareTrial({ args, ...scenario });
    const { original, changed } = trial;
    const sectors = Math.ceil(changed.length / SECTOR_BYTES);
    const limits = Array.from({ length: sectors + 1 }, (_, sector) => sector * SECTOR_BYTES);
    const random = seededRandom(seed);
    // Little is written outside the growth and the header.
    const isNear = (limit: number) => limit <= 1024 || limit >= original.length;
    const tried = chosen(limits, USUAL_LIMITS, random, (limit) => isNear(limit) && random.chance(0.5));
    const verdicts: string[] = [];
    for (const limit of tried) {
      const image = await trial.place();
      const run = await runWithLimit(limit, args(image));
      const found = await faultsFound(image, run, trial);
      if (limit >= changed.length && run.exitCode !== 0) found.push('there was room');
      if (run.exitCode === 1 && !TELLS.test(run.stderr)) found.push('it does not say what to do');
      if (found.length > 0) verdicts.push(`limit ${limit}: ${found.join('; ')}\n  ${run.stderr}`);
    }
    expect(verdicts.join('\n'), again).toBe('');
  }, 3600_000);
});

const TELLS =
  /\/disk\.qcow2: could not write .*: a file may not be that large here \(EFBIG\).*\n.*"ulimit -f"/;

async function runWithLimit(bytes: number, args: readonly string[]): Promise<Outcome> {
  const result = await execa('prlimit', [`--fsize=${bytes}`, process.execPath, program, ...args], {
    reject: false,
    stdin: 'ignore',
    env: { NO_COLOR: '1' },
  });
  if (result.code === 'ENOENT') throw new Error('prlimit is not installed: apt-get install util-linux');
  if (result.exitCode === undefined) throw new Error(result.message);
  return { exitCode: result.exitCode, stderr: result.stderr };
}
