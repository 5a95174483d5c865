/**
 * The result on stdout, in large pieces, no faster than the reader takes them.
 */
import { once } from 'node:events';

const PIECE_CHARACTERS = 64 * 1024;
let pending = '';
let readerGone = false;

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `bitmap-tool map disk | head` is no failure.
  if (error.code !== 'EPIPE') throw error;
  readerGone = true;
});

/** Whether nobody reads the output any more. */
export function outputClosed(): boolean {
  return readerGone;
}

export async function print(text: string): Promise<void> {
  pending += text;
  if (pending.length >= PIECE_CHARACTERS) await finishOutput();
}

/** Returns once everything printed is on its way. */
export async function finishOutput(): Promise<void> {
  const text = pending;
  pending = '';
  if (text === '' || readerGone) return;
  if (!process.stdout.write(text))
    await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'error')]).catch(() => {});
}
