/** Reports what is wrong with an interrupted change and with its message. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { qemuCheck, qemuInfo } from '../../support/qemu.ts';
import { examine, type OpenedImage, type UnopenableImage } from '../crash/checker/examine.ts';
import { guestViolations, sameBitmaps } from '../crash/judge.ts';
import type { Trial } from './trial.ts';

/** What there is to see of a process that has ended. */
export interface Outcome {
  /** undefined after a kill. */
  readonly exitCode: number | undefined;
  readonly stderr: string;
}

/** How often what was left, for the test to print: a test that only meets untouched images shows itself. */
export const tally = { faults: 0, killed: 0, unchanged: 0, hidden: 0, old: 0, new: 0 };

interface Left {
  readonly unchanged: boolean;
  readonly isOld: boolean;
  readonly isNew: boolean;
}

export async function faultsFound(image: string, outcome: Outcome, trial: Trial): Promise<string[]> {
  const bytes = await readFile(image);
  const state = examine(bytes);
  const left = whatIsLeft(bytes, state, trial);
  const isHidden = trial.before === undefined && state.opens && state.bitmaps.length === 0;
  tally.faults++;
  tally.killed += outcome.exitCode === undefined ? 1 : 0;
  tally.unchanged += left.unchanged ? 1 : 0;
  tally.hidden += isHidden ? 1 : 0;
  tally.old += left.isOld && !left.unchanged ? 1 : 0;
  tally.new += left.isNew ? 1 : 0;

  return [
    ...(await imageFaults(image, bytes, state, trial)),
    ...(left.isOld || left.isNew || isHidden ? [] : ['neither the old nor the new bitmaps']),
    ...outcomeFaults(outcome, left),
  ];
}

/** An image that QEMU refused still has its old bitmaps where QEMU still refuses it. */
function whatIsLeft(bytes: Buffer, state: OpenedImage | UnopenableImage, trial: Trial): Left {
  const { original, before, after } = trial;
  return {
    unchanged: bytes.equals(original),
    isOld: state.opens
      ? before !== undefined && sameBitmaps(state.bitmaps, before.bitmaps)
      : before === undefined,
    isNew: state.opens && sameBitmaps(state.bitmaps, after.bitmaps),
  };
}

async function imageFaults(
  image: string,
  bytes: Buffer,
  state: OpenedImage | UnopenableImage,
  { before, intact }: Trial,
): Promise<string[]> {
  if (!state.opens && before !== undefined) return [`does not open: ${state.reason}`];
  const found = state.opens
    ? [...state.errors, ...guestViolations(state, intact)]
    : guestViolations({ ...intact, bytes }, intact);
  return [...found, ...(await qemuFaults(image, bytes, state.opens))];
}

const knownToQemu = new Map<string, Promise<string[]>>();

/** Many a fault leaves the same bytes: QEMU judges them once. */
async function qemuFaults(image: string, bytes: Buffer, opens: boolean): Promise<string[]> {
  const digest = createHash('sha256').update(bytes).digest('hex');
  const known = knownToQemu.get(digest) ?? askQemu(image, opens);
  knownToQemu.set(digest, known);
  return known;
}

async function askQemu(image: string, opens: boolean): Promise<string[]> {
  const refusal = await qemuInfo(image).then(
    () => undefined,
    (error: Error) => error.message,
  );
  if (!opens) return refusal === undefined ? ['QEMU opens it, and the checker does not'] : [];
  if (refusal !== undefined) return [`QEMU does not open it: ${refusal}`];
  const check = await qemuCheck(image);
  return check.corruptions + check.errors > 0 ? [`qemu-img check: ${JSON.stringify(check)}`] : [];
}

/** An error of close(2) or of a look at the file may come when all is done. */
function outcomeFaults({ exitCode, stderr }: Outcome, left: Left): string[] {
  if (exitCode === undefined) return [];
  if (exitCode === 0) return left.isNew ? [] : ['exit code 0 and not the new bitmaps'];
  return exitCode === 1 ? lies(stderr, left) : [`exit code ${exitCode}`];
}

/** Compares the message with the state of the image. */
function lies(stderr: string, is: Left): string[] {
  if (/bug|\n\s+at /.test(stderr)) return ['it calls that a bug'];
  if (/; its bitmaps are as before/.test(stderr)) return is.isOld ? [] : ['the bitmaps are not as before'];
  if (/; the new bitmaps are in place/.test(stderr))
    return is.isNew ? [] : ['the new bitmaps are not in place'];
  if (/; its bitmaps are all as before or, /.test(stderr)) return [];
  return is.unchanged ? [] : [`something was written, and the message does not say so`];
}
