/** Locks without koffi, which a host may lack or not load. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { scratchFolder } from '../../support/scratch.ts';
import { bundle } from './bundle.ts';

test('without koffi the image is refused, and the remedy is to install it', async () => {
  // From a folder outside the package, 'koffi' resolves to nothing.
  expect(await lockFrom(await scratchFolder())).toEqual({
    code: 'NO_LOCKS',
    exitCode: 4,
    message:
      'disk.qcow2: cannot be locked against other programs: the optional package koffi is not installed',
    remedy: { kind: 'install-koffi' },
  });
});

test('if koffi does not load, the image is refused with the reason of the loader', async () => {
  const folder = await scratchFolder();
  const koffi = join(folder, 'node_modules', 'koffi');
  await mkdir(koffi, { recursive: true });
  await writeFile(join(koffi, 'index.js'), 'throw new Error("koffi.node: failed to map segment");');
  expect(await lockFrom(folder)).toMatchObject({
    code: 'NO_LOCKS',
    message:
      'disk.qcow2: cannot be locked against other programs: the package koffi does not load: koffi.node: failed to map segment',
    remedy: { kind: 'install-koffi' },
  });
});

/** Locks the image in a process that looks for koffi from the folder, and returns the error. */
async function lockFrom(cwd: string): Promise<unknown> {
  const image = join(cwd, 'disk.qcow2');
  await writeFile(image, '');
  const script = await bundle(`
    import { openSync } from 'node:fs';
    import { lockImage } from './src/storage/locks.ts';
    await lockImage(openSync(${JSON.stringify(image)}), 'disk.qcow2', 'reader').catch((error) => {
      console.log(JSON.stringify({ code: error.code, exitCode: error.exitCode, message: error.message, remedy: error.remedy }));
    });`);
  const { stdout } = await execa('node', ['--input-type=module', '--eval', script], { cwd });
  return JSON.parse(stdout);
}
