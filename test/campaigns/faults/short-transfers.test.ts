/**
 * The real process with reads and writes that transfer only a part. It continues, and the image is the same to the byte. After
 * a write that transfers nothing it stops.
 *
 * Some calls are cut short one by one, by chance; BITMAP_TOOL_FAULTS=all tries every one.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { randomCases, seededRandom } from '../../support/random.ts';
import { chosen } from './chosen.ts';
import { faultsFound, tally } from './judge.ts';
import { SCENARIOS } from './scenarios.ts';
import { runShort, type ShortTransfers } from './short-transfers.ts';
import { prepareTrial, type Trial } from './trial.ts';

const USUAL_CALLS = 3;
const USUAL_ENDS = 2;

afterAll(() => console.log(`faults of writes that move nothing: ${JSON.stringify(tally)}`));

describe.each(SCENARIOS)('$name', ({ args, ...scenario }) => {
  test('continues after a read or write that transfers only a part', async () => {
    const { seed, again } = randomCases(1)[0]!;
    const trial = await prepareTrial({ args, ...scenario });
    const random = seededRandom(seed);
    const verdicts: string[] = [];
    const goesOn = async (transfers: ShortTransfers) => {
      const image = await trial.place();
      const { exitCode, stderr, seen } = await runShort(image, args(image), transfers);
      const isSame = (await readFile(image)).equals(trial.changed);
      if (exitCode !== 0 || !isSame) verdicts.push(`${JSON.stringify(transfers)}: ${exitCode}\n  ${stderr}`);
      return seen;
    };

    // Each call at once, and what asks for the rest of it is let through.
    const seen = await goesOn({ calls: ['read', 'write'], nth: 'alternate', part: 'half' });
    expect(seen.shortened, 'some were cut short').toBeGreaterThan(10);
    await goesOn({ calls: ['read', 'write'], nth: 'alternate', part: 'byte' });

    const calls = await goesOn({ calls: [], nth: 1, part: 'half' });
    const one = (['read', 'write'] as const).flatMap((call) =>
      (['half', 'byte'] as const).flatMap((part) =>
        upTo(calls[call]).map((nth): ShortTransfers => ({ calls: [call], nth, part })),
      ),
    );
    for (const transfers of chosen(one, USUAL_CALLS, random, () => true)) await goesOn(transfers);

    for (const nth of chosen(upTo(calls.write), USUAL_ENDS, random, () => true)) {
      const found = await endsAt(nth, trial, args);
      if (found.length > 0) verdicts.push(`write ${nth} moves nothing: ${found.join('; ')}`);
    }
    expect(verdicts.join('\n'), again).toBe('');
  }, 3600_000);
});

async function endsAt(nth: number, trial: Trial, args: (image: string) => string[]): Promise<string[]> {
  const image = await trial.place();
  const run = await runShort(image, args(image), { calls: ['write'], nth, part: 'nothing' });
  const found = await faultsFound(image, run, trial);
  if (run.exitCode !== 1) found.push(`exit code ${run.exitCode}`);
  if (!/\/disk\.qcow2: could not write .*: 0 of them were written/.test(run.stderr)) found.push(run.stderr);
  return found;
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
