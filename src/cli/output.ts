/**
 * The result on stdout, in large pieces, no faster than the reader takes them.
 */
import { FailedError } from '../errors.ts';

const PIECE_CHARACTERS = 64 * 1024;
let pending = '';
let readerGone = false;
let failure: NodeJS.ErrnoException | undefined;
let goOn = () => {};

process.stdout.on('drain', () => goOn());
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  readerGone = true;
  // `bitmap-tool map disk | head` is no failure.
  if (error.code !== 'EPIPE') failure = error;
  goOn();
});
// What cannot be told is no reason to stop: without a listener a lost warning would end the process amid a change.
process.stderr.on('error', () => {});

/** Whether nobody reads the output any more. */
export function outputClosed(): boolean {
  return readerGone;
}

export async function print(text: string): Promise<void> {
  pending += text;
  if (pending.length >= PIECE_CHARACTERS) await finishOutput();
}

/** @throws FailedError when what was printed did not all reach its reader */
export async function closeOutput(): Promise<void> {
  await finishOutput();
  // The error of a write comes after it.
  await new Promise((resolve) => setImmediate(resolve));
  if (failure === undefined) return;
  throw new FailedError('IO_ERROR', `the result could not be written to stdout: ${failure.message}`, {
    cause: failure,
    hint: 'What the command was asked to do to images is done.',
  });
}

/** Returns once everything printed is on its way. */
export async function finishOutput(): Promise<void> {
  const text = pending;
  pending = '';
  if (text === '' || readerGone) return;
  if (process.stdout.write(text)) return;
  await new Promise<void>((resolve) => {
    goOn = resolve;
  });
}
