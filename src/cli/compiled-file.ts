/**
 * Loads a built file with its bytecode. Compiling the file would take longer than most runs.
 *
 * The build stores the bytecode next to the file. V8 refuses the bytecode of another version of V8 and then
 * compiles the file as usual.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Script } from 'node:vm';

/** The file ends with the SHA-256 of its text, in hexadecimal. Its bytecode begins with the same digest. */
const DIGEST_LENGTH = 64;

export interface LoadedFile {
  readonly exports: unknown;
  readonly script: Script;
  readonly digest: string;
}

/** @param path the absolute path of a CommonJS file */
export function loadFile(path: string): LoadedFile {
  const text = readFileSync(path, 'utf8');
  const digest = text.slice(-DIGEST_LENGTH);
  const cachedData = storedBytecode(path, digest);
  const script = new Script(`(function (exports, require, module) {\n${text}\n})`, {
    filename: path,
    lineOffset: -1,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(path), module);
  return { exports: module.exports, script, digest };
}

export function bytecodePath(path: string): string {
  return `${path}.bytecode`;
}

/** V8 compares only the length of the text with that of the bytecode, so the digests are compared here. */
function storedBytecode(path: string, digest: string): Buffer | undefined {
  let stored: Buffer;
  try {
    stored = readFileSync(bytecodePath(path));
  } catch {
    return undefined;
  }
  return stored.toString('latin1', 0, DIGEST_LENGTH) === digest ? stored.subarray(DIGEST_LENGTH) : undefined;
}
