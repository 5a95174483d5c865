/** A built file does the same with its bytecode, without bytecode, and beside bytecode that does not fit it. */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bytecodePath, encodeBytecode, loadFile } from '../../../src/cli/compiled-file.ts';
import { expectEqual } from '../../support/expect-equal.ts';
import { scratchFolder } from '../../support/scratch.ts';

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex');

/** The text of a file as the build writes it. */
const withDigest = (text: string) => `${text}//${digestOf(text)}`;

let files = 0;

/** Writes a file, and the content of its bytecode file. */
async function builtFile(text: string, stored?: Uint8Array): Promise<[folder: string, file: string]> {
  const folder = await scratchFolder();
  // V8 keeps compiled scripts by name and text.
  const file = `file-${++files}.cjs`;
  const path = join(folder, file);
  await writeFile(path, withDigest(text));
  if (stored !== undefined) await writeFile(bytecodePath(path), stored);
  return [folder, file];
}

const bytecodeOf = async (text: string) => loadFile(...(await builtFile(text))).script.createCachedData();
const storedFor = async (text: string) => encodeBytecode(withDigest(text), await bytecodeOf(text));

const ONE = "exports.sum = (a) => a + 1; exports.separator = require('node:path').sep;";
const TWO = ONE.replace('1', '2');

const sum = ({ exports }: { exports: unknown }) => (exports as { sum: (a: number) => number }).sum(10);

describe('a built file', () => {
  test('runs without bytecode and can load other modules', async () => {
    const loaded = loadFile(...(await builtFile(ONE)));
    expect(loaded.script.cachedDataRejected).toBeUndefined();
    expect(loaded.exports).toMatchObject({ separator: '/' });
    expect(sum(loaded)).toBe(11);
  });

  test('runs with its own bytecode', async () => {
    const loaded = loadFile(...(await builtFile(ONE, await storedFor(ONE))));
    expect(loaded.script.cachedDataRejected).toBe(false);
    expect(sum(loaded)).toBe(11);
  });

  test('does not run the bytecode of another file of the same length', async () => {
    const loaded = loadFile(...(await builtFile(TWO, await storedFor(ONE))));
    expect(loaded.script.cachedDataRejected).toBeUndefined();
    expect(sum(loaded)).toBe(12);
  });

  test('is compiled if any bit of its bytecode file is flipped', async () => {
    const stored = await storedFor(ONE);
    const [folder, file] = await builtFile(ONE);
    const path = bytecodePath(join(folder, file));
    await writeFile(path, stored);
    const bytecode = await open(path, 'r+');
    for (let bit = 0; bit < stored.length * 8; bit += 5) {
      const at = bit >> 3;
      writeSync(bytecode.fd, Uint8Array.of(stored[at]! ^ (1 << (bit & 7))), 0, 1, at);
      const loaded = loadFile(folder, file);
      expectEqual([loaded.script.cachedDataRejected, sum(loaded)], [undefined, 11]);
      writeSync(bytecode.fd, stored, at, 1, at);
    }
    await bytecode.close();
  });

  test.each([0, 1, 71, 72, 200])(
    'is compiled if its bytecode file breaks off after %i bytes',
    async (length) => {
      const stored = await storedFor(ONE);
      const loaded = loadFile(...(await builtFile(ONE, stored.subarray(0, length))));
      expect(loaded.script.cachedDataRejected).toBeUndefined();
      expect(sum(loaded)).toBe(11);
    },
  );

  test('is compiled if the bytecode is that of another version of V8', async () => {
    const code = await bytecodeOf(ONE);
    // The second word is a hash of the version.
    code[4]! ^= 1;
    const loaded = loadFile(...(await builtFile(ONE, encodeBytecode(withDigest(ONE), code))));
    expect(loaded.script.cachedDataRejected).toBe(true);
    expect(sum(loaded)).toBe(11);
  });

  test('shows its own lines and columns in the stack of an error', async () => {
    const [folder, file] = await builtFile("exports.fail = () => {\n  throw new Error('x');\n};");
    const { fail } = loadFile(folder, file).exports as { fail: () => never };
    expect(fail).toThrow(expect.objectContaining({ stack: expect.stringContaining(`(${file}:2:9)`) }));
  });

  test('has bytecode that does not contain its folder', async () => {
    const [folder, file] = await builtFile(ONE);
    expect(loadFile(folder, file).script.createCachedData().includes(folder)).toBe(false);
  });
});
