/**
 * The real process with faults from outside: a read, a write or a flush of the image fails, or the process is killed, at each
 * system call. QEMU opens the image that is left, with the same disk and the old or the new bitmaps, and the message about it
 * is true.
 *
 * Some faults are tried, by chance; BITMAP_TOOL_FAULTS=all tries every one.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { randomCases, seededRandom } from '../../support/random.ts';
import { chosen } from './chosen.ts';
import { faultsFound, tally } from './judge.ts';
import { SCENARIOS } from './scenarios.ts';
import { CALLS, type Fault, runTraced, type TracedRun } from './traced-tool.ts';
import { prepareTrial } from './trial.ts';

const USUAL_FAULTS = 18;
const AT_ONCE = 3;

afterAll(() => console.log(`faults from outside: ${JSON.stringify(tally)}`));

describe.each(SCENARIOS)('$name', (scenario) => {
  test('survives the failure of any system call', async () => {
    const { seed, again } = randomCases(1)[0]!;
    const trial = await prepareTrial(scenario);
    const whole = await trial.place();
    const clean = await runTraced(whole, scenario.args(whole));
    expect(clean.exitCode, clean.stderr).toBe(0);

    const random = seededRandom(seed);
    // Writes and flushes can cause harm.
    const isHarmful = ({ call }: Fault) =>
      ['pwrite64', 'pwritev', 'fdatasync'].includes(call) && random.chance(0.5);
    const faults = chosen(faultsOf(clean), USUAL_FAULTS, random, isHarmful);
    const verdicts: string[] = [];
    for (let start = 0; start < faults.length; start += AT_ONCE) {
      const some = faults.slice(start, start + AT_ONCE).map(async (fault) => {
        const image = await trial.place();
        const run = await runTraced(image, scenario.args(image), fault);
        const found = await faultsFound(image, run, trial);
        if (run.exitCode === undefined && fault.effect !== 'kill') found.push('it was killed');
        if (found.length > 0) verdicts.push(`${JSON.stringify(fault)}: ${found.join('; ')}\n  ${run.stderr}`);
      });
      await Promise.all(some);
    }
    expect(verdicts.join('\n'), again).toBe('');
  }, 3600_000);
});

/** Every call, every effect. */
function faultsOf({ calls }: TracedRun): Fault[] {
  return CALLS.flatMap((call) =>
    Array.from({ length: calls[call] }, (_, index) => index + 1).flatMap((nth) =>
      (call.startsWith('pwrite') ? (['EIO', 'ENOSPC', 'kill'] as const) : (['EIO', 'kill'] as const)).map(
        (effect): Fault => ({ call, nth, effect }),
      ),
    ),
  );
}
