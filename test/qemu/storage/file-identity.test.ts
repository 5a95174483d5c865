/** Files are different files, also on file systems with inode numbers above 2^53. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { fileIdentity } from '../../../src/storage/file.ts';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

async function mount(folder: string, ...args: string[]): Promise<void> {
  await mkdir(folder);
  await execa('mount', [...args, folder]);
  onTestFinished(async () => {
    await execa('umount', [folder]);
  });
}

/** The folder below and the overlay above it. In this overlay, files of the folder have numbers from 2^63 on. */
async function overlayFileSystem(): Promise<{ below: string; above: string }> {
  const folder = await scratchFolder();
  const [below, upper, above] = ['below', 'upper', 'above'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await mount(below, '-t', 'tmpfs', 'none');
  await mount(upper, '-t', 'tmpfs', 'none');
  for (const name of ['files', 'work']) await mkdir(join(upper, name));
  const options = `lowerdir=${below},upperdir=${upper}/files,workdir=${upper}/work,xino=on`;
  await mount(above, '-t', 'overlay', 'overlay', '-o', options);
  return { below, above };
}

test('different base images on an overlayfs are not taken for one', async () => {
  const { below, above } = await overlayFileSystem();
  for (const name of ['base.qcow2', 'other.qcow2']) {
    await qemuImg('create', '-q', '-f', 'qcow2', join(below, name), '1M');
    await qemuIo(join(below, name), 'write -q -P 1 0 1M');
  }
  await qemuIo(join(below, 'other.qcow2'), 'write -q -P 2 64k 64k');
  await qemuImg('bitmap', '--add', join(below, 'base.qcow2'), 'c1');
  const identities = await Promise.all(
    ['base.qcow2', 'other.qcow2'].map((name) => fileIdentity(join(above, name))),
  );
  const numbers = identities.map((identity) => Number(identity.split(':')[1]));
  expect(numbers[0], 'the file system must have such numbers').toBe(numbers[1]);
  expect(identities[0]).not.toBe(identities[1]);

  const [now, old] = [join(above, 'now.qcow2'), join(above, 'old.qcow2')];
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', now);
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'other.qcow2', '-F', 'qcow2', old);
  await qemuImg('bitmap', '--add', now, 'c1');
  const verified = await bitmapTool('verify', now, 'c1', '--against', old);
  expect(verified).toMatchObject({ exitCode: 3, stdout: expect.stringContaining('lacks 64 KiB') });
});
