/**
 * Prints the result on stdout and messages on stderr. The result goes out in large pieces, at the speed of
 * the reader.
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

/** Whether the reader has closed the output, or a write has failed. */
export function outputClosed(): boolean {
  return readerGone;
}

export async function print(text: string): Promise<void> {
  pending += text;
  if (pending.length >= PIECE_CHARACTERS) await finishOutput();
}

/** For results of millions of lines. Writes the bytes at once; the caller can reuse the buffer afterwards. */
export async function printBytes(bytes: Uint8Array): Promise<void> {
  if (pending !== '') await finishOutput();
  if (!readerGone) await write(bytes);
}

/** @throws FailedError when a write failed for another reason than a closed pipe */
export async function closeOutput(): Promise<void> {
  await finishOutput();
  if (failure === undefined) return;
  const message = `the result could not be written to stdout: ${failure.message}; the changes of images are complete`;
  throw new FailedError('IO_ERROR', message, { cause: failure });
}

/** Resolves after all printed text has been written. */
export async function finishOutput(): Promise<void> {
  const text = pending;
  pending = '';
  if (text !== '' && !readerGone) await write(Buffer.from(text));
}

/** Sends the result to `receive` instead of stdout, for programs that run commands in their own process. */
export function redirectOutput(receive: (bytes: Uint8Array) => void): void {
  write = async (bytes) => receive(bytes);
}

/** Prints a warning or an error. */
export function printError(text: string): void {
  guardStderr();
  process.stderr.write(text);
}

/**
 * A lost message must not stop the work. Without a listener, the error would end the process during a change.
 */
export function guardStderr(): void {
  if (stderrIsGuarded) return;
  stderrIsGuarded = true;
  process.stderr.on('error', () => {});
}

/** Avoids process.stdout, because its streams and sockets load slowly. */
async function writeOut(bytes: Uint8Array): Promise<void> {
  let done = 0;
  try {
    while (done < bytes.length) {
      done += (await writeTo(STDOUT, bytes, done, bytes.length - done, null)).bytesWritten;
    }
  } catch (cause) {
    const error = cause as NodeJS.ErrnoException;
    // Another process made the pipe non-blocking. The stream waits until the pipe is writable.
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
      // The error event follows and calls onError.
      if (error) return;
      stdout.off('error', onError);
      resolve();
    });
  });
}
