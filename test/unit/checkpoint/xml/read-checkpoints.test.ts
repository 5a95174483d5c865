/** Checkpoints from files and folders: all of them, in libvirt's order, without contradictions. */
import { mkdir, readdir, readlink, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { readCheckpoints } from '../../../../src/checkpoint/xml/read-checkpoints.ts';
import type { Remedy } from '../../../../src/remedy.ts';
import { scratchFolder } from '../../../support/scratch.ts';

/** `child < parent` */
function xml(family: string, creationTime: number, disk = ''): string {
  const [name, parent] = family.split(' < ');
  const ancestry = parent === undefined ? '' : `<parent><name>${parent}</name></parent>`;
  return `<domaincheckpoint><name>${name}</name>${ancestry}<creationTime>${creationTime}</creationTime>${disk}</domaincheckpoint>`;
}

async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await scratchFolder();
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

const namesOf = (checkpoints: readonly { name: string }[]) => checkpoints.map(({ name }) => name);

test('exactly the .xml files of a folder are read', async () => {
  const folder = await folderOf({
    'virtnbdbackup.0.xml': xml('virtnbdbackup.0', 10),
    'virtnbdbackup.1.xml': xml('virtnbdbackup.1 < virtnbdbackup.0', 20),
    'virtnbdbackup.10.xml': xml('virtnbdbackup.2 < virtnbdbackup.1', 30),
    'machine.cpt': '["virtnbdbackup.0"]',
  });
  await mkdir(join(folder, 'folder.xml'));
  const read = await readCheckpoints([folder]);
  expect(namesOf(read)).toEqual(['virtnbdbackup.0', 'virtnbdbackup.1', 'virtnbdbackup.2']);
  expect(read[2]!.file).toBe(join(folder, 'virtnbdbackup.10.xml'));
});

test('parents come first even against the clock, then older checkpoints, then names', async () => {
  const folder = await folderOf({
    '1.xml': xml('child < root', 1),
    '2.xml': xml('root', 9),
    '3.xml': xml('grandchild < child', 2),
    '4.xml': xml('b', 5),
    '5.xml': xml('a', 5),
    '6.xml': xml('orphan < elsewhere', 4),
  });
  expect(namesOf(await readCheckpoints([folder]))).toEqual([
    'orphan',
    'a',
    'b',
    'root',
    'child',
    'grandchild',
  ]);
});

test('a file may be named twice, or together with its folder', async () => {
  const folder = await folderOf({ 'c1.xml': xml('c1', 1) });
  const file = join(folder, 'c1.xml');
  await symlink(file, join(folder, 'link.xml'));
  expect(namesOf(await readCheckpoints([file, folder, file]))).toEqual(['c1']);
});

test('no file stays open', async () => {
  const folder = await folderOf({ 'c1.xml': xml('c1', 1), 'c2.xml': xml('c2', 2) });
  await readCheckpoints([folder]);
  const open = await readdir('/proc/self/fd');
  const paths = await Promise.all(open.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  expect(paths.filter((path) => path.startsWith(folder))).toEqual([]);
});

test('a bitmap with another name than its checkpoint causes a warning', async () => {
  const disks = `<disks><disk name='vda' bitmap='other'/><disk name='vdb' checkpoint='no'/><disk name='vdc'/></disks>`;
  const folder = await folderOf({ 'c1.xml': xml('c1', 1, disks) });
  const warnings: string[] = [];
  await readCheckpoints([folder], { onWarning: (message) => warnings.push(message) });
  expect(warnings).toEqual([expect.stringMatching(/c1\.xml: disk vda has the bitmap "other".*"c1"/)]);
});

describe('these checkpoint files are refused:', () => {
  const refusal = (code: string, message: RegExp, remedy?: Remedy) =>
    expect.objectContaining({
      code,
      message: expect.stringMatching(message),
      ...(remedy === undefined ? {} : { remedy }),
    });

  test('a file without a checkpoint, with its name', async () => {
    const folder = await folderOf({ 'a.xml': '<domain/>' });
    await expect(readCheckpoints([folder])).rejects.toEqual(
      refusal('INVALID_CHECKPOINT', /a\.xml: the XML of a <domain>/, {
        kind: 'name-checkpoint-folder',
        folder: undefined,
      }),
    );
  });

  test('a checkpoint in two files, with both names', async () => {
    const folder = await folderOf({ 'a.xml': xml('c1', 1), 'b.xml': xml('c1', 2) });
    await expect(readCheckpoints([folder])).rejects.toEqual(
      refusal('INVALID_CHECKPOINT', /b\.xml: describes checkpoint "c1", and so does .*a\.xml/),
    );
  });

  test.each([
    ['its own parent', { 'a.xml': xml('c1 < c1', 1) }, /c1 → c1/],
    [
      'parents in a circle',
      {
        'a.xml': xml('tail < c1', 0),
        'b.xml': xml('c1 < c3', 1),
        'c.xml': xml('c2 < c1', 2),
        'd.xml': xml('c3 < c2', 3),
      },
      /: c1 → c3 → c2 → c1$/,
    ],
  ])('%s', async (_, files, says) => {
    await expect(readCheckpoints([await folderOf(files)])).rejects.toEqual(
      refusal('INVALID_CHECKPOINT', says),
    );
  });

  test('a folder without XML, with the subfolder of virtnbdbackup that has some', async () => {
    const folder = await folderOf({ 'machine.cpt': '[]' });
    await expect(readCheckpoints([folder])).rejects.toEqual(refusal('INVALID_CHECKPOINT', /ends in \.xml/));
    await mkdir(join(folder, 'another'));
    await expect(readCheckpoints([folder])).rejects.toEqual(
      refusal('INVALID_CHECKPOINT', /ends in \.xml/, { kind: 'name-checkpoint-folder', folder: undefined }),
    );
    await mkdir(join(folder, 'checkpoints'));
    await expect(readCheckpoints([folder])).rejects.toEqual(
      refusal('INVALID_CHECKPOINT', /ends in \.xml/, {
        kind: 'name-checkpoint-folder',
        folder: join(folder, 'checkpoints'),
      }),
    );
  });

  test('a file larger than any checkpoint, before it is read', async () => {
    const folder = await folderOf({ 'a.xml': xml('c1', 1) });
    await truncate(join(folder, 'a.xml'), 2 ** 40);
    await expect(readCheckpoints([folder])).rejects.toEqual(
      refusal('INVALID_CHECKPOINT', /a\.xml: 1099511627776 bytes/),
    );
  });

  test('a missing file, and something that is not a file', async () => {
    const folder = await scratchFolder();
    const fifo = join(folder, 'a.xml');
    await execa('mkfifo', [fifo]);
    await expect(readCheckpoints([fifo])).rejects.toEqual(refusal('NOT_A_FILE', /a FIFO/));
    await expect(readCheckpoints([join(folder, 'none')])).rejects.toEqual(
      refusal('FILE_NOT_FOUND', /none: no such file/),
    );
  });

  test('text that is not UTF-8', async () => {
    const file = join(await scratchFolder(), 'a.xml');
    await writeFile(file, Buffer.from(xml('c1', 1).replace('c1', 'é'), 'latin1'));
    await expect(readCheckpoints([file])).rejects.toEqual(refusal('INVALID_CHECKPOINT', /no text in UTF-8/));
  });
});
