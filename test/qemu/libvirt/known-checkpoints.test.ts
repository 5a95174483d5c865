/** Checkpoints on file, as libvirt dumps them: what they let bitmap-tool repair, and what libvirt then accepts. */
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { digest } from '../../support/file-state.ts';
import { qemuBitmaps, qemuImg } from '../../support/qemu.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { makeTemporaryFolder } from '../../support/scratch.ts';
import { type Guest, newGuest } from './guest.ts';
import { tool } from './images.ts';
import { of, repair } from './judged.ts';
import { newVirsh, type Virsh } from './virsh.ts';

const [{ seed, again } = { seed: 0, again: '' }] = randomCases(1);
let virsh: Virsh;

beforeAll(async () => {
  virsh = await newVirsh(await makeTemporaryFolder());
});

afterAll(() => virsh?.close());

/** Dumps every checkpoint as virtnbdbackup does, which then has them in this folder. */
async function dumpAll(guest: Guest): Promise<string> {
  const folder = join(guest.folder, 'checkpoints');
  await mkdir(folder);
  for (const name of guest.checkpoints)
    await writeFile(join(folder, `${name}.xml`), await guest.machine.dumpCheckpoint(name, '--size'));
  return folder;
}

/** A machine with two disks and two checkpoints on file, and with an overlay on each disk. */
async function extendedGuest(seedOffset: number): Promise<{ guest: Guest; folder: string }> {
  const guest = await newGuest(virsh, ['vda', 'vdb'], seededRandom(seed + seedOffset));
  await guest.machine.start();
  for (const name of ['virtnbdbackup.0', 'virtnbdbackup.1']) {
    await guest.backUp(name);
    await guest.write();
  }
  const folder = await dumpAll(guest);
  await guest.machine.stop();
  await guest.machine.forgetCheckpoints();
  await guest.extend('qemu-img');
  return { guest, folder };
}

/** What libvirt says to each file of a folder, in the order of a shell's glob. */
async function verdictsOf({ machine }: Guest, folder: string): Promise<string[]> {
  const said: string[] = [];
  for (const file of (await readdir(folder)).sort()) {
    const { ok, output } = await machine.validate(await readFile(join(folder, file), 'utf8'));
    said.push(ok ? 'valid' : output);
  }
  return said;
}

describe(`checkpoints on file (${again})`, () => {
  test('are refused by libvirt before the repair and accepted after it, as dumped and from checkpoint-xml', async () => {
    const { guest, folder } = await extendedGuest(0);
    await guest.machine.start();
    expect((await verdictsOf(guest, folder))[0]).toMatch(/missing or broken bitmap 'virtnbdbackup.0' for/);
    await guest.machine.stop();
    const checked = await bitmapTool('check', '--checkpoints', folder, ...guest.images);
    expect(checked).toMatchObject({ exitCode: 3, stderr: '' });

    await repair(guest, '--checkpoints', folder);
    await guest.machine.forgetCheckpoints();
    expect(await verdictsOf(guest, folder)).toEqual(['valid', 'valid']);
    await guest.machine.forgetCheckpoints();

    const minimal = join(guest.folder, 'minimal');
    await tool('checkpoint-xml', '--checkpoints', folder, '--output', minimal);
    expect(await readdir(minimal)).toEqual(['001-virtnbdbackup.0.xml', '002-virtnbdbackup.1.xml']);
    expect(await verdictsOf(guest, minimal)).toEqual(['valid', 'valid']);
    await guest.write();
    expect(await guest.restores()).toEqual(of(guest, true));
  });

  test.each(['targets', 'paths'])(
    'are not needed if the images are enough, with disks named by their %s',
    async (by) => {
      const { guest } = await extendedGuest(1);
      await tool('repair', ...guest.images);
      const made = join(guest.folder, 'made');
      const names = guest.checkpoints.flatMap((name) => ['--name', name]);
      const disks = (by === 'targets' ? guest.targets : guest.images).flatMap((disk) => ['--disk', disk]);
      await tool('checkpoint-xml', ...names, ...disks, '--output', made, ...guest.images);
      await guest.machine.start();
      expect(await verdictsOf(guest, made)).toEqual(['valid', 'valid']);
      const xml = await guest.machine.dumpCheckpoint('virtnbdbackup.1', '--no-domain');
      expect(xml).toMatch(/<parent>\s*<name>virtnbdbackup\.0</);
      await guest.write();
      expect(await guest.restores()).toEqual(of(guest, true));
    },
  );

  test('are not needed for check while the guest runs, although repair is refused then', async () => {
    const { guest } = await extendedGuest(1);
    await tool('repair', ...guest.images);
    await guest.machine.start();
    const before = await Promise.all(guest.images.map(digest));
    const refused = await bitmapTool('repair', ...guest.images);
    expect(refused).toMatchObject({ exitCode: 5, stderr: expect.stringMatching(/qemu-system/) });
    expect(await Promise.all(guest.images.map(digest))).toEqual(before);
    expect((await bitmapTool('check', ...guest.images)).exitCode).toBe(5);
    expect(await bitmapTool('check', '-U', ...guest.images)).toMatchObject({ exitCode: 0 });
    const args = ['-n', 'virtnbdbackup.1', '--disk', 'vda', '--disk', 'vdb', ...guest.images];
    expect(await bitmapTool('checkpoint-xml', ...args)).toMatchObject({ exitCode: 5 });
    const { exitCode, stdout } = await bitmapTool('checkpoint-xml', '-U', ...args);
    expect(exitCode).toBe(0);
    expect(await guest.machine.validate(stdout)).toMatchObject({ ok: true });
  });

  test('identify the disk of an image by its path, or the user names it', async () => {
    const { guest, folder } = await extendedGuest(2);
    const [image] = guest.images;
    const moved = join(guest.folder, 'moved');
    await mkdir(moved);
    const names = (await readdir(guest.folder)).filter((name) => name.startsWith('vda'));
    for (const name of names) await cp(join(guest.folder, name), join(moved, name));
    const [overlay, base] = ['vda-overlay1.qcow2', 'vda-base.qcow2'].map((name) => join(moved, name));
    await qemuImg('rebase', '-u', '-b', base!, '-F', 'qcow2', overlay!);

    const alone = await bitmapTool('repair', '--dry-run', '--checkpoints', folder, image!);
    expect(alone.exitCode).toBe(0);
    expect(alone.stderr).toMatch(/warning: checkpoint "virtnbdbackup.0" covers vdb too/);
    const refused = await bitmapTool('repair', '--checkpoints', folder, overlay!);
    expect(refused).toMatchObject({ exitCode: 4, stderr: expect.stringMatching(/--disk vda/) });
    await bitmapTool('repair', '--checkpoints', folder, '--disk', 'vda', overlay!);
    expect((await qemuBitmaps(overlay!)).map(({ name }) => name)).toEqual(guest.checkpoints);
  });

  test.each([
    ['and nobody made it again', false],
    ['and somebody made it again, empty, where libvirt looks for it', true],
  ])('show the origin after a crash before QEMU stored the bitmap, %s', async (_, isMadeAgain) => {
    const guest = await newGuest(virsh, ['vda'], seededRandom(seed + 3));
    await guest.machine.start();
    await guest.backUp('c1');
    await guest.write();
    const folder = await dumpAll(guest);
    await guest.machine.crash();
    await guest.machine.forgetCheckpoints();
    expect(await qemuBitmaps(guest.images[0]!)).toEqual([]);
    await guest.extend('qemu-img');
    if (isMadeAgain) {
      await qemuImg('bitmap', '--add', guest.images[0]!, 'c1');
      await guest.machine.start();
      expect(await guest.verdicts()).toEqual({ c1: 'valid' });
      await guest.machine.stop();
    }
    const checked = await bitmapTool('check', '--checkpoints', folder, ...guest.images);
    expect(checked).toMatchObject({ exitCode: 3 });
    const refused = await bitmapTool('repair', '--checkpoints', folder, ...guest.images);
    expect(refused).toMatchObject({ exitCode: 4, stderr: expect.stringMatching(/--rebuild-origin/) });

    await repair(guest, '--checkpoints', folder, '--rebuild-origin');
    await guest.machine.forgetCheckpoints();
    expect(await verdictsOf(guest, folder)).toEqual(['valid']);
    await guest.write();
    expect(await guest.restores()).toEqual({ c1: true });
  });
});
