/** The code that the build compiled ahead is used where it fits, and does no harm where it does not. */
import { cp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { compileProgram, storedCodePath } from '../../src/cli/load-program.ts';
import { scratchFolder } from '../support/scratch.ts';

const dist = fileURLToPath(new URL('../../dist', import.meta.url));

async function copyOfProgram(): Promise<string> {
  const folder = await scratchFolder();
  await cp(dist, folder, { recursive: true });
  return folder;
}

const help = async (folder: string) => {
  const { stdout, exitCode } = await execa(process.execPath, [join(folder, 'cli.cjs'), '--help']);
  return { stdout, exitCode };
};

test('V8 takes the code that was built for this Node', async () => {
  const script = compileProgram(dist, await readFile(storedCodePath(dist)));
  expect(script.cachedDataRejected).toBe(false);
});

test('without it, and with one that is broken or for another source, the program runs the same', async () => {
  const expected = await help(dist);
  expect(expected.exitCode).toBe(0);
  const folder = await copyOfProgram();
  const path = storedCodePath(folder);

  await truncate(path, 1000);
  expect(await help(folder)).toEqual(expected);

  const code = await readFile(storedCodePath(dist));
  code.fill(0, 0, 4);
  await writeFile(path, code);
  expect(await help(folder)).toEqual(expected);

  await cp(storedCodePath(dist), path);
  const source = join(folder, 'program.cjs');
  await writeFile(source, `${await readFile(source, 'latin1')}\n`, 'latin1');
  expect(compileProgram(folder, await readFile(path)).cachedDataRejected).toBe(true);
  expect(await help(folder)).toEqual(expected);

  await rm(path);
  expect((await readdir(folder)).filter((name) => name.endsWith('.cache'))).toEqual([]);
  expect(await help(folder)).toEqual(expected);
});
