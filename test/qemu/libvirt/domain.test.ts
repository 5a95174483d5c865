/** Guests by name, with a libvirt daemon as judge: what check and repair say and do, running and shut off. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { parseShellWords, shellWord } from '../../../src/text/shell-word.ts';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { schemaFaults } from '../../support/output-schema.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { makeTemporaryFolder, scratchFolder } from '../../support/scratch.ts';
import { type LibvirtDaemon, startLibvirtDaemon } from './daemon.ts';
import { checkpointOf, createImage, newCheckpoint, restoresTo } from './images.ts';
import { defineMachine, type Machine } from './machine.ts';

let libvirt: LibvirtDaemon;

beforeAll(async () => {
  libvirt = await startLibvirtDaemon(await makeTemporaryFolder());
});
afterAll(() => libvirt?.close());

interface Guest {
  folder: string;
  base: string;
  machine: Machine;
  /** Runs `bitmap-tool VERB --domain NAME --connect URI …`. */
  tool(verb: string, ...args: string[]): ReturnType<typeof bitmapTool>;
}

/** Backed up in full, with the checkpoint c1; then 1 MiB was written. */
async function backedUpGuest(): Promise<Guest> {
  const folder = await scratchFolder();
  const base = join(folder, 'base.qcow2');
  await createImage(base, undefined, '64M');
  await qemuIo(base, 'write -q -P 1 0 2M');
  const machine = await defineMachine(libvirt, { vda: base }, `g${folder.slice(-6)}`);
  onTestFinished(() => machine.remove());
  await machine.start();
  await mkdir(join(folder, 'full'));
  expect(await machine.backup(join(folder, 'full'), { checkpoint: newCheckpoint('c1') })).toMatchObject({
    ok: true,
  });
  await machine.write('vda', 'write -P 2 4M 1M');
  return {
    folder,
    base,
    machine,
    tool: (verb, ...args) => bitmapTool(verb, '--domain', machine.name, '--connect', libvirt.uri, ...args),
  };
}

/** While it is off, an overlay is put on it by hand; then it runs on and writes. */
async function overlaid(guest: Guest): Promise<string> {
  const top = join(guest.folder, 'top.qcow2');
  await guest.machine.stop();
  await createImage(top, guest.base);
  await guest.machine.setDisks({ vda: top });
  await guest.machine.start();
  await guest.machine.write('vda', 'write -P 3 8M 1M');
  return top;
}

/** An incremental backup since c1, over the full one, must be the disk. */
async function expectRestorable({ folder, machine }: Guest): Promise<void> {
  await mkdir(join(folder, 'inc'));
  expect(await machine.backup(join(folder, 'inc'), { since: 'c1' })).toMatchObject({ ok: true });
  await machine.stop();
  const backups = ['full', 'inc'].map((name) => join(folder, name, 'vda.qcow2'));
  expect(await restoresTo(machine.disks['vda']!, backups)).toBe(true);
}

it('repairs a running guest so that libvirt accepts the checkpoint, and a restore of its next backup is identical', async () => {
  const guest = await backedUpGuest();
  await overlaid(guest);
  const before = await guest.tool('check', '--json');
  expect(before).toMatchObject({
    exitCode: 3,
    json: {
      healthy: false,
      disks: [{ checkpoints: [{ name: 'c1', valid: false, libvirt: 'refuses' }] }],
      domain: { name: guest.machine.name, targets: ['vda'], verdicts: [{ checkpoint: 'c1', valid: false }] },
    },
  });
  const repaired = await guest.tool('repair', '--json');
  expect(schemaFaults('check --domain', before.json)).toEqual([]);
  expect(schemaFaults('repair --domain', repaired.json)).toEqual([]);
  expect(repaired).toMatchObject({
    exitCode: 0,
    json: {
      disks: [{ checkpoints: [{ name: 'c1', wasValid: false }] }],
      domain: { verdicts: [{ checkpoint: 'c1', valid: true, dirtyBytes: 2 * 2 ** 20, message: null }] },
    },
  });
  await guest.machine.write('vda', 'write -P 4 12M 1M');
  expect(await guest.tool('check', '--json')).toMatchObject({
    exitCode: 0,
    json: { domain: { verdicts: [{ valid: true, dirtyBytes: 3 * 2 ** 20 }] } },
  });
  await expectRestorable(guest);
});

it('repairs the images of a guest that is shut off, and libvirt accepts the checkpoint when it runs', async () => {
  const guest = await backedUpGuest();
  await overlaid(guest);
  await guest.machine.stop();
  expect(await guest.tool('check', '--json')).toMatchObject({
    exitCode: 3,
    json: { domain: { state: 'shut off', verdicts: [] } },
  });
  expect(await guest.tool('repair')).toMatchObject({ exitCode: 0 });
  await guest.machine.start();
  expect(await guest.tool('check', '--json')).toMatchObject({
    exitCode: 0,
    json: { domain: { verdicts: [{ valid: true, dirtyBytes: 2 * 2 ** 20 }] } },
  });
  await expectRestorable(guest);
});

it('defines a checkpoint again that libvirt had lost, from its XML', async () => {
  const guest = await backedUpGuest();
  await guest.machine.forgetCheckpoints();
  await overlaid(guest);
  const xml = join(guest.folder, 'c1.xml');
  await writeFile(xml, checkpointOf('c1', ['vda']));
  const { exitCode, stdout } = await guest.tool('repair', '--checkpoints', xml);
  expect(exitCode).toBe(0);
  expect(stdout).toContain('libvirt: c1: valid, and defined again');
  await expectRestorable(guest);
});

it('replaces inconsistent bitmaps in the overlay after a crash of QEMU', async () => {
  const guest = await backedUpGuest();
  await overlaid(guest);
  expect(await guest.tool('repair')).toMatchObject({ exitCode: 0 });
  await guest.machine.stop();
  await guest.machine.start();
  await guest.machine.write('vda', 'write -P 4 12M 1M', 'flush');
  await guest.machine.crash();
  await guest.machine.start();
  expect(await guest.tool('check', '--json')).toMatchObject({
    exitCode: 3,
    json: { disks: [{ checkpoints: [{ bitmaps: [{ state: 'in-use' }, { state: 'good' }] }] }] },
  });
  expect(await guest.tool('repair', '--name', 'c1')).toMatchObject({ exitCode: 0 });
  await expectRestorable(guest);
});

it('names the guest in every hint, so that the calls work as they are', async () => {
  const guest = await backedUpGuest();
  await guest.machine.stop();
  await qemuImg('bitmap', '--add', guest.base, 'left');
  await guest.machine.start();
  await guest.machine.write('vda', 'write -P 3 8M 1M', 'flush');
  await guest.machine.crash();
  const target = `--domain ${guest.machine.name} --connect ${shellWord(libvirt.uri)}`;
  const callsOf = (text: string) => Array.from(text.matchAll(/"bitmap-tool ([^"]*)"/g), ([, call]) => call!);
  const [remove] = callsOf((await guest.tool('check')).stdout);
  expect(remove).toBe(`remove ${target} ${guest.base} left`);
  expect(await bitmapTool(...parseShellWords(remove!))).toMatchObject({ exitCode: 0 });

  const { exitCode, stderr } = await guest.tool('repair');
  expect(exitCode).toBe(4);
  expect(callsOf(stderr)).toEqual([
    `repair --rebuild-origin ${target}`,
    `repair --name c1 --against BACKUP ${target}`,
  ]);
  const [agree, compare] = callsOf(stderr);
  const backup = join(guest.folder, 'full', 'vda.qcow2');
  expect(await bitmapTool(...parseShellWords(compare!.replace('BACKUP', backup)), '--dry-run')).toMatchObject(
    {
      exitCode: 0,
    },
  );
  expect(await bitmapTool(...parseShellWords(agree!))).toMatchObject({ exitCode: 0 });
});

it('repairs an image below the active one without a pause of the guest', async () => {
  const guest = await backedUpGuest();
  const lower = await overlaid(guest);
  await guest.machine.stop();
  const top = join(guest.folder, 'top2.qcow2');
  await createImage(top, lower);
  await guest.machine.setDisks({ vda: top });
  await guest.machine.start();
  await guest.machine.write('vda', 'write -P 5 16M 1M');
  const { exitCode, stderr } = await guest.tool('repair');
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  await guest.machine.write('vda', 'write -P 6 20M 1M');
  expect(await guest.tool('check', '--json')).toMatchObject({
    exitCode: 0,
    json: {
      disks: [{ checkpoints: [{ bitmaps: [{ state: 'good' }, { state: 'good' }, { state: 'good' }] }] }],
      domain: { verdicts: [{ valid: true, dirtyBytes: 4 * 2 ** 20 }] },
    },
  });
  await expectRestorable(guest);
});

it('repairs the image that was active when the guest started, below a later snapshot', async () => {
  const guest = await backedUpGuest();
  await overlaid(guest);
  await guest.machine.snapshot('live');
  await guest.machine.write('vda', 'write -P 5 16M 1M');
  const { exitCode, stderr } = await guest.tool('repair');
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(await guest.tool('check', '--json')).toMatchObject({
    exitCode: 0,
    json: { domain: { verdicts: [{ valid: true, dirtyBytes: 3 * 2 ** 20 }] } },
  });
  await expectRestorable(guest);
});

it('repairs an image that a snapshot has added since the guest started, below another snapshot', async () => {
  const guest = await backedUpGuest();
  await overlaid(guest);
  for (const name of ['first', 'second']) {
    await guest.machine.snapshot(name);
    await guest.machine.write('vda', 'write -P 5 16M 1M');
  }
  const { exitCode, stderr } = await guest.tool('repair');
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(await guest.tool('check', '--json')).toMatchObject({
    exitCode: 0,
    json: {
      disks: [{ checkpoints: [{ bitmaps: Array(4).fill({ state: 'good' }) }] }],
      domain: { verdicts: [{ valid: true, dirtyBytes: 3 * 2 ** 20 }] },
    },
  });
  await expectRestorable(guest);
});

it('works on one image of a guest by the name of its disk, and on the guest by its number or UUID', async () => {
  const guest = await backedUpGuest();
  const top = await overlaid(guest);
  expect(await guest.tool('create-from', '--allocated', 'vda')).toMatchObject({ exitCode: 0 });
  expect(await guest.tool('list', '--json', 'vda')).toMatchObject({
    json: { image: top, bitmaps: [{ name: 'c1', dirtyBytes: 2 ** 20, running: { persistent: true } }] },
  });
  const number = (await libvirt.run('domid', guest.machine.name)).trim();
  for (const name of [number, (await libvirt.run('domuuid', guest.machine.name)).trim()]) {
    expect(await bitmapTool('check', '--domain', name, '--connect', libvirt.uri)).toMatchObject({
      stdout: expect.stringContaining(`${guest.machine.name} is paused: vda\n`),
      stderr: '',
    });
  }
  await guest.machine.stop();
  const atRest = await guest.tool('list', '--json', 'vda');
  expect(atRest).toMatchObject({ json: { image: top, bitmaps: [{ name: 'c1', dirtyBytes: 2 ** 20 }] } });
  expect(await guest.tool('disable', top, 'c1')).toMatchObject({ exitCode: 0 });
});

it('refuses while a backup runs', async () => {
  const guest = await backedUpGuest();
  await overlaid(guest);
  const pull = join(guest.folder, 'pull.xml');
  const socket = join(guest.folder, 'pull.sock');
  await writeFile(
    pull,
    `<domainbackup mode='pull'><server transport='unix' socket='${socket}'/>
      <disks><disk name='vda' type='file'><scratch file='${join(guest.folder, 'scratch.qcow2')}'/></disk></disks></domainbackup>`,
  );
  await libvirt.run('backup-begin', guest.machine.name, pull);
  const { exitCode, error } = await guest.tool('repair', '--json');
  expect({ exitCode, code: error?.code }).toEqual({ exitCode: 5, code: 'IMAGE_IN_USE' });
  await libvirt.run('domjobabort', guest.machine.name);
});

it('reports the disks that it leaves out, and the name of an unknown guest', async () => {
  const guest = await backedUpGuest();
  const raw = join(guest.folder, 'raw.img');
  await qemuImg('create', '-q', '-f', 'raw', raw, '1M');
  await guest.machine.stop();
  await libvirt.run('attach-disk', guest.machine.name, raw, 'vdb', '--config', '--subdriver', 'raw');
  const { stderr, exitCode } = await guest.tool('check');
  expect(stderr).toContain(`disk vdb is left out: ${raw} is raw, which holds no bitmaps`);
  expect(exitCode).toBe(0);
  expect(await guest.tool('check', '--disk', 'vdb')).toMatchObject({ exitCode: 4 });
  for (const [verb, ...args] of [
    ['check', '--disk', 'vdz'],
    ['list', 'vdz'],
  ] as const) {
    expect(await guest.tool(verb, ...args)).toMatchObject({
      exitCode: 2,
      stderr: `bitmap-tool: ${guest.machine.name}: has no disk vdz\nIt has: vda, vdb`,
    });
  }
  const unknown = await bitmapTool('check', '--domain', 'nobody', '--connect', libvirt.uri);
  expect(unknown).toMatchObject({ exitCode: 1 });
  expect(unknown.stderr).toContain("failed to get domain 'nobody'");
});
