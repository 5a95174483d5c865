/** A built file does the same with its bytecode, without bytecode, and beside bytecode that does not fit it. */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bytecodePath, loadFile } from '../../../src/cli/compiled-file.ts';
import { scratchFolder } from '../../support/scratch.ts';

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex');

/** Writes a file as the build does, and bytecode that begins with `digest`. */
async function builtFile(text: string, bytecode?: { digest: string; code: Buffer }): Promise<string> {
  const path = join(await scratchFolder(), 'file.cjs');
  await writeFile(path, `${text}//${digestOf(text)}`);
  if (bytecode !== undefined)
    await writeFile(bytecodePath(path), Buffer.concat([Buffer.from(bytecode.digest), bytecode.code]));
  return path;
}

const bytecodeOf = async (text: string) => ({
  digest: digestOf(text),
  code: loadFile(await builtFile(text)).script.createCachedData(),
});

const ONE = "exports.sum = (a) => a + 1; exports.separator = require('node:path').sep;";
const TWO = ONE.replace('1', '2');

const sum = ({ exports }: { exports: unknown }) => (exports as { sum: (a: number) => number }).sum(10);

describe('a built file', () => {
  test('runs without bytecode and can load other modules', async () => {
    const loaded = loadFile(await builtFile(ONE));
    expect(loaded.script.cachedDataRejected).toBeUndefined();
    expect(loaded.exports).toMatchObject({ separator: '/' });
    expect(sum(loaded)).toBe(11);
  });

  test('runs with its own bytecode', async () => {
    const loaded = loadFile(await builtFile(ONE, await bytecodeOf(ONE)));
    expect(loaded.script.cachedDataRejected).toBe(false);
    expect(sum(loaded)).toBe(11);
  });

  test('does not run the bytecode of another file of the same length', async () => {
    const loaded = loadFile(await builtFile(TWO, await bytecodeOf(ONE)));
    expect(loaded.script.cachedDataRejected).toBeUndefined();
    expect(sum(loaded)).toBe(12);
  });

  test.each([0, 1, 8, 100])('is compiled if the bytecode breaks off after %i bytes', async (length) => {
    const { digest, code } = await bytecodeOf(ONE);
    const loaded = loadFile(await builtFile(ONE, { digest, code: code.subarray(0, length) }));
    expect(loaded.script.cachedDataRejected).toBe(true);
    expect(sum(loaded)).toBe(11);
  });

  test('is compiled if the bytecode is that of another version of V8', async () => {
    const { digest, code } = await bytecodeOf(ONE);
    // The second word is a hash of the version.
    code.writeUInt32LE(code.readUInt32LE(4) ^ 1, 4);
    const loaded = loadFile(await builtFile(ONE, { digest, code }));
    expect(loaded.script.cachedDataRejected).toBe(true);
    expect(sum(loaded)).toBe(11);
  });

  test('shows its own lines and columns in the stack of an error', async () => {
    const path = await builtFile("exports.fail = () => {\n  throw new Error('x');\n};");
    const { fail } = loadFile(path).exports as { fail: () => never };
    expect(fail).toThrow(expect.objectContaining({ stack: expect.stringContaining(`${path}:2:9`) }));
  });
});
