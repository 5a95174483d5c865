/**
 * Loads a built file with its bytecode. Compiling the file would take longer than most runs.
 *
 * The build stores the bytecode next to the file. V8 refuses the bytecode of another version of V8 and then
 * compiles the file as usual. V8 does not notice damage and compares only the length of the text, so this
 * file checks both.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Script } from 'node:vm';

/** A built file ends with the SHA-256 of its text, in hexadecimal. */
const DIGEST_LENGTH = 64;
/** The digest of the file and the checksum of the bytecode, in hexadecimal. The bytecode follows. */
const MARK_LENGTH = DIGEST_LENGTH + 8;

interface LoadedFile {
  readonly exports: unknown;
  readonly script: Script;
}

/**
 * @param folder an absolute path
 * @param file the path of a CommonJS file in the folder. Stack traces and bytecode contain it without the
 * folder, so that builds in different folders are identical
 */
export function loadFile(folder: string, file: string): LoadedFile {
  const path = join(folder, file);
  const text = readFileSync(path, 'utf8');
  const cachedData = storedBytecode(path, text);
  const script = new Script(`(function (exports, require, module) {\n${text}\n})`, {
    filename: file,
    lineOffset: -1,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(path), module);
  return { exports: module.exports, script };
}

export function bytecodePath(path: string): string {
  return `${path}.bytecode`;
}

/** The content of the bytecode file of a built file. */
export function encodeBytecode(text: string, bytecode: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(markOf(text, bytecode)), bytecode]);
}

/** Undefined if there is none, if it belongs to another text, or if it is damaged. */
function storedBytecode(path: string, text: string): Buffer | undefined {
  let stored: Buffer;
  try {
    stored = readFileSync(bytecodePath(path));
  } catch {
    return undefined;
  }
  if (stored.length < MARK_LENGTH) return undefined;
  const bytecode = stored.subarray(MARK_LENGTH);
  return stored.toString('latin1', 0, MARK_LENGTH) === markOf(text, bytecode) ? bytecode : undefined;
}

function markOf(text: string, bytecode: Uint8Array): string {
  const sum = (checksum(bytecode) >>> 0).toString(16).padStart(8, '0');
  return `${text.slice(-DIGEST_LENGTH)}${sum}`;
}

/** After so many words, the rotation of the checksum repeats itself. */
const ROTATIONS = 32;

/**
 * Differs after any change within one word, such as a flipped bit. V8 only interprets it, so the step for
 * each word is cheap. The multiplication after each block makes its place count.
 */
function checksum(bytes: Uint8Array): number {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  const { length } = words;
  let sum = bytes.length;
  for (let index = 0; index < length; sum = Math.imul(sum, 0x9e3779b1)) {
    const end = Math.min(index + ROTATIONS, length);
    for (; index < end; index++) sum = ((sum << 5) | (sum >>> 27)) ^ words[index]!;
  }
  for (let index = length * 4; index < bytes.length; index++) {
    sum = ((sum << 5) | (sum >>> 27)) ^ bytes[index]!;
  }
  return sum;
}
