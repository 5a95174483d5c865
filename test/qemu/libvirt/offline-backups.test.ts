/**
 * The steps of docs/offline-backups.md: each full and incremental backup of a guest that is off is restored identically, and
 * libvirt then continues from the checkpoints.
 */
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { compareImages, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { makeTemporaryFolder, scratchFolder } from '../../support/scratch.ts';
import { createImage, restoresTo, tool } from './images.ts';
import { defineMachine } from './machine.ts';
import { newVirsh, type Virsh } from './virsh.ts';
import { makeVirshCommand } from './virsh-command.ts';

const file = (name: string) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
let virsh: Virsh;

beforeAll(async () => {
  virsh = await newVirsh(await makeTemporaryFolder());
});

afterAll(() => virsh?.close());

/** The commands of the section "Step by step", block by block. */
async function blocks(): Promise<string[]> {
  const text = await readFile(file('docs/offline-backups.md'), 'utf8');
  const [, section] = /^## Step by step\n(.*?)^## /ms.exec(text)!;
  return Array.from(section!.matchAll(/^```sh\n(.*?)^```$/gms), ([, commands]) => commands!);
}

test('a full backup and three incremental ones restore the disk, and so does the next one of libvirt', async () => {
  const folder = await scratchFolder();
  const [images, backup, bin] = ['images', 'backup', 'bin'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const each of [images, backup, bin]) await mkdir(each);
  await makeVirshCommand(virsh, bin);
  await symlink(file('bin/bitmap-tool.js'), join(bin, 'bitmap-tool'));
  const disks = ['vda', 'vdb'] as const;
  for (const disk of disks) {
    const base = join(images, `${disk}-base.qcow2`);
    await createImage(base, undefined, '64M');
    await qemuIo(base, 'write -q -P 1 0 4M', 'write -q -P 2 20M 1M');
    await createImage(join(images, `${disk}.qcow2`), base);
    await qemuIo(join(images, `${disk}.qcow2`), 'write -q -P 3 2M 128k');
  }
  const machine = await defineMachine(
    virsh,
    Object.fromEntries(disks.map((disk) => [disk, join(images, `${disk}.qcow2`)])),
    'vm1',
  );
  onTestFinished(() => machine.remove());

  const [prepare, functions, full, names, incremental, compare, redefine, ...more] = await blocks();
  expect(more).toEqual([]);
  const run = (...commands: (string | undefined)[]) =>
    execa('sh', ['-c', [functions, ...commands].join('\n')], {
      cwd: backup,
      all: true,
      stdin: 'ignore',
      env: { PATH: `${bin}:${process.env['PATH']}` },
    });
  const variablesOf = (old: string, next: string) => {
    expect(names).toBe('OLD=c1 NEW=c2\n');
    return `OLD=${old} NEW=${next}`;
  };
  const backUp = async (old: string, next: string) => {
    const variables = variablesOf(old, next);
    await run(variables, incremental);
    const { all } = await run(variables, compare);
    expect(all!.match(/Images are identical/g)).toHaveLength(2);
    for (const disk of disks) {
      const copy = join(backup, `${disk}.${next}.qcow2`);
      const restored = join(folder, 'restored.qcow2');
      await qemuImg('convert', '-O', 'qcow2', copy, restored);
      expect(await compareImages(restored, machine.disks[disk]!)).toMatchObject({ identical: true });
      expect(await qemuCheck(copy)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
    }
  };

  await run(prepare, full);
  for (const disk of disks) {
    expect(await compareImages(join(backup, `${disk}.c1.qcow2`), machine.disks[disk]!)).toMatchObject({
      identical: true,
    });
  }

  // The guest writes, zeros and discards.
  await qemuIo(machine.disks['vda']!, 'write -q -P 4 1M 64k', 'write -q -z 20M 128k', 'discard -q 2M 64k');
  await qemuIo(machine.disks['vdb']!, 'write -q -P 5 63M 1M');
  await backUp('c1', 'c2');

  // It runs, and libvirt takes an external snapshot, which carries the bitmaps into the new overlays.
  await machine.start();
  for (const disk of disks) await machine.write(disk, 'write -P 6 3M 64k');
  await machine.snapshot('s1');
  for (const disk of disks) await machine.write(disk, 'write -P 7 3M 4k', 'write -P 8 40M 300k');
  await machine.stop();
  await backUp('c2', 'c3');

  // After overlays were added by hand, the next backup is refused without a repair.
  const overlays = Object.fromEntries(disks.map((disk) => [disk, join(images, `${disk}-by-hand.qcow2`)]));
  for (const disk of disks) {
    await createImage(overlays[disk]!, machine.disks[disk]!);
    await qemuIo(overlays[disk]!, 'write -q -P 9 50M 64k');
  }
  await machine.setDisks(overlays);
  const refusal: { all?: string } = await run(variablesOf('c3', 'c4'), incremental).catch((error) => error);
  // The steps end there: the message and the hint are the last lines.
  expect(refusal.all).toMatch(/\n.*checkpoint "c3" is not valid.*\n.*bitmap-tool repair .*$/);
  await tool('repair', ...Object.values(overlays));
  // The checkpoint c4 was created before that, but without a backup, so the next backup continues from c3.
  await backUp('c3', 'c5');

  // libvirt accepts the checkpoints, and continues from the last one.
  await machine.start();
  await run(redefine!.replace('c1 c2', 'c1 c2 c3 c5'));
  for (const disk of disks) await machine.write(disk, 'write -P 10 8M 100k', 'write -z 50M 64k');
  const own = join(folder, 'own');
  await mkdir(own);
  expect(await machine.backup(own, { since: 'c5' })).toMatchObject({ ok: true });
  await machine.stop();
  for (const disk of disks) {
    const chain = [
      ...['c1', 'c2', 'c3', 'c5'].map((name) => join(backup, `${disk}.${name}.qcow2`)),
      join(own, `${disk}.qcow2`),
    ];
    expect(await restoresTo(machine.disks[disk]!, chain)).toBe(true);
  }
});
