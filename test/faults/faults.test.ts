/**
 * The real process, cut short from outside: a read, a write or a flush of the image fails, or the process is killed, at
 * each system call. Whatever it leaves opens in QEMU with the same disk and the old or the new bitmaps, and what it says
 * of that is true.
 *
 * Some faults are tried, by chance; BITMAP_TOOL_FAULTS=all tries every one.
 */
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { examine, examineOpenable, type OpenedImage } from '../crash/checker/examine.ts';
import { guestViolations, sameBitmaps } from '../crash/judge.ts';
import { qemuCheck, qemuInfo } from '../support/qemu.ts';
import { randomCases, seededRandom } from '../support/random.ts';
import { scratchFolder } from '../support/scratch.ts';
import { SCENARIOS } from './scenarios.ts';
import { CALLS, type Fault, runTraced, type TracedRun } from './traced-tool.ts';

const fixtures = fileURLToPath(new URL('../../fixtures/images', import.meta.url));
const USUAL_FAULTS = 18;
const AT_ONCE = 3;

const tried = { faults: 0, killed: 0, unchanged: 0, old: 0, new: 0 };
afterAll(() => console.log(`faults from outside: ${JSON.stringify(tried)}`));

describe.each(SCENARIOS)('$name', ({ fixture, args }) => {
  test('survives whatever fails', async () => {
    const { seed, again } = randomCases(1)[0]!;
    const source = join(fixtures, fixture);
    const original = await readFile(join(source, 'disk.qcow2'));
    const place = async () => {
      const folder = await scratchFolder();
      await cp(source, folder, { recursive: true });
      return join(folder, 'disk.qcow2');
    };

    const whole = await place();
    const clean = await runTraced(whole, args(whole));
    expect(clean.exitCode, clean.stderr).toBe(0);
    const before = examineOpenable(original);
    const after = examineOpenable(await readFile(whole));
    expect(sameBitmaps(before.bitmaps, after.bitmaps), 'the change is one').toBe(false);

    const faults = chosen(faultsOf(clean), seed);
    const verdicts: string[] = [];
    for (let start = 0; start < faults.length; start += AT_ONCE) {
      const some = faults.slice(start, start + AT_ONCE).map(async (fault) => {
        const image = await place();
        const run = await runTraced(image, args(image), fault);
        const found = await faultsFound(image, run, fault, { original, before, after });
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
      (call === 'pwrite64' ? (['EIO', 'ENOSPC', 'kill'] as const) : (['EIO', 'kill'] as const)).map(
        (effect): Fault => ({ call, nth, effect }),
      ),
    ),
  );
}

function chosen(faults: Fault[], seed: number): Fault[] {
  if (process.env['BITMAP_TOOL_FAULTS'] === 'all') return faults;
  const random = seededRandom(seed);
  // Writes and flushes are what can do harm.
  const weights = faults.map((fault) => ({
    fault,
    weight:
      random.below(1000) + (['pwrite64', 'fdatasync'].includes(fault.call) ? 1000 : 0) * random.below(2),
  }));
  return weights
    .sort((a, b) => b.weight - a.weight)
    .slice(0, USUAL_FAULTS)
    .map(({ fault }) => fault);
}

interface Expected {
  readonly original: Buffer;
  readonly before: OpenedImage;
  readonly after: OpenedImage;
}

async function faultsFound(
  image: string,
  { exitCode, stderr }: TracedRun,
  { effect }: Fault,
  { original, before, after }: Expected,
): Promise<string[]> {
  const bytes = await readFile(image);
  const unchanged = bytes.equals(original);
  const state = examine(bytes);
  if (!state.opens) return [`does not open: ${state.reason}`];
  const isOld = sameBitmaps(state.bitmaps, before.bitmaps);
  const isNew = sameBitmaps(state.bitmaps, after.bitmaps);
  tried.faults++;
  tried.killed += exitCode === undefined ? 1 : 0;
  tried.unchanged += unchanged ? 1 : 0;
  tried.old += isOld && !unchanged ? 1 : 0;
  tried.new += isNew ? 1 : 0;

  const found = [...state.errors, ...guestViolations(state, before)];
  if (!isOld && !isNew) found.push('neither the old nor the new bitmaps');
  await qemuInfo(image).catch((error: Error) => found.push(`QEMU does not open it: ${error.message}`));
  const check = await qemuCheck(image);
  if (check.corruptions + check.errors > 0) found.push(`qemu-img check: ${JSON.stringify(check)}`);

  // An error of close(2) or of a look at the file may come when all is done.
  if (exitCode === undefined) return effect === 'kill' ? found : [...found, 'it was killed'];
  if (exitCode === 0 && !isNew) found.push('exit code 0 and not the new bitmaps');
  if (exitCode !== 0 && exitCode !== 1) found.push(`exit code ${exitCode}`);
  if (exitCode === 1) found.push(...lies(stderr, { unchanged, isOld, isNew }));
  return found;
}

/** What the message says of the image, against what is there. */
function lies(stderr: string, is: { unchanged: boolean; isOld: boolean; isNew: boolean }): string[] {
  if (/bug|\n\s+at /.test(stderr)) return ['it calls that a bug'];
  if (/; its bitmaps are as before/.test(stderr)) return is.isOld ? [] : ['the bitmaps are not as before'];
  if (/; the new bitmaps are in place/.test(stderr))
    return is.isNew ? [] : ['the new bitmaps are not in place'];
  if (/; its bitmaps are all as before or, /.test(stderr)) return [];
  return is.unchanged ? [] : [`something was written, and the message does not say so`];
}
