/** Cleaning up files of runs in folders where other users can write. */
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { removeOwn } from '../../../src/qemu/own-files.ts';
import { newRunName } from '../../../src/qemu/own-names.ts';
import { scratchFolder } from '../../support/scratch.ts';

it('the cleanup removes a file of a run, and the folder of a run with its files', async () => {
  const [folder, run] = [await scratchFolder(), await newRunName()];
  await writeFile(join(folder, `${run}.sock`), '');
  await mkdir(join(folder, `${run}-x`));
  await writeFile(join(folder, `${run}-x`, `${run}.0.qcow2`), '');
  await removeOwn(join(folder, `${run}.sock`), run);
  await removeOwn(join(folder, `${run}-x`), run);
  expect(await readdir(folder)).toEqual([]);
});

it('the cleanup keeps all other files in a folder with the name of a run', async () => {
  const [folder, run] = [await scratchFolder(), await newRunName()];
  const own = join(folder, `${run}-x`);
  await mkdir(join(own, 'inner'), { recursive: true });
  for (const name of ['other', `${run}.sock`, join('inner', 'deep')]) await writeFile(join(own, name), '');
  await removeOwn(own, run);
  expect((await readdir(own, { recursive: true })).toSorted()).toEqual(['inner', 'inner/deep', 'other']);
});

it('the cleanup keeps the files behind a link with the name of a run', async () => {
  const [folder, run] = [await scratchFolder(), await newRunName()];
  const precious = join(folder, 'precious');
  await mkdir(precious);
  await writeFile(join(precious, 'file'), '');
  await symlink(precious, join(folder, `${run}-x`));
  await removeOwn(join(folder, `${run}-x`), run);
  expect(await readdir(precious)).toEqual(['file']);
});
