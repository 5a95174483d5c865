/**
 * The result on stdout, in large pieces and no faster than the reader takes them; messages on stderr.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { FailedError } from '../errors.ts';

const writeTo = promisify(fs.write);

const STDOUT = 1;
const PIECE_CHARACTERS = 64 * 1024;
let pending = '';
let readerGone = false;
let failure: NodeJS.ErrnoException | undefined;
let write: (bytes: Uint8Array) => Promise<void> = writeOut;
let stderrIsGuarded = false;

/** Whether the reader of the output has gone. */
export function outputClosed(): boolean {
  return readerGone;
}

export async function print(text: string): Promise<void> {
  pending += text;
  if (pending.length >= PIECE_CHARACTERS) await finishOutput();
}

/** For results of millions of lines: the bytes are written at once, and are the caller's again after that. */
export async function printBytes(bytes: Uint8Array): Promise<void> {
  if (pending !== '') await finishOutput();
  if (!readerGone) await write(bytes);
}

/** @throws FailedError when what was printed did not all reach its reader */
export async function closeOutput(): Promise<void> {
  await finishOutput();
  if (failure === undefined) return;
  const message = `the result could not be written to stdout: ${failure.message}; the changes of images are complete`;
  throw new FailedError('IO_ERROR', message, { cause: failure });
}

/** Returns once everything printed is on its way. */
export async function finishOutput(): Promise<void> {
  const text = pending;
  pending = '';
  if (text !== '' && !readerGone) await write(Buffer.from(text));
}

/** For programs that run commands within themselves: the result goes there instead of to stdout. */
export function redirectOutput(receive: (bytes: Uint8Array) => void): void {
  write = async (bytes) => receive(bytes);
}

/** Warnings and errors. */
export function printError(text: string): void {
  guardStderr();
  process.stderr.write(text);
}

/** A lost message must not stop the work: without a listener the error would end the process during a change. */
export function guardStderr(): void {
  if (stderrIsGuarded) return;
  stderrIsGuarded = true;
  process.stderr.on('error', () => {});
}

/** Not through process.stdout, whose streams and sockets take a while to load. */
async function writeOut(bytes: Uint8Array): Promise<void> {
  let done = 0;
  try {
    while (done < bytes.length) {
      done += (await writeTo(STDOUT, bytes, done, bytes.length - done, null)).bytesWritten;
    }
  } catch (cause) {
    const error = cause as NodeJS.ErrnoException;
    // Somebody made the pipe one that does not wait: the stream does that.
    if (error.code === 'EAGAIN') return writeThroughStream(bytes.subarray(done));
    readerGone = true;
    // `bitmap-tool map disk | head` is not a failure.
    if (error.code !== 'EPIPE') failure = error;
  }
}

async function writeThroughStream(bytes: Uint8Array): Promise<void> {
  const { stdout } = process;
  await new Promise<void>((resolve) => {
    const onError = (error: NodeJS.ErrnoException) => {
      readerGone = true;
      if (error.code !== 'EPIPE') failure = error;
      resolve();
    };
    stdout.once('error', onError);
    stdout.write(bytes, (error) => {
      // After an error its event comes too.
      if (error) return;
      stdout.off('error', onError);
      resolve();
    });
  });
}
