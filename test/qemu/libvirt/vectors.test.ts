/** libvirt's rule for a valid checkpoint, as libvirt itself applies it. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { crashOn } from '../../support/crash.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { makeTemporaryFolder, scratchFolder } from '../../support/scratch.ts';
import { checkpointOf, createImage, makeChain, newCheckpoint, restoresTo, tool } from './images.ts';
import { type Disks, defineMachine, type Machine } from './machine.ts';
import { newVirsh, type Virsh } from './virsh.ts';

let virsh: Virsh;

beforeAll(async () => {
  virsh = await newVirsh(await makeTemporaryFolder());
});

afterAll(() => virsh?.close());

async function machineWith(disks: Disks): Promise<Machine> {
  const machine = await defineMachine(virsh, disks);
  onTestFinished(() => machine.remove());
  return machine;
}

const MISSING = 'error: checkpoint inconsistent: missing or broken bitmap';

/** What libvirt says to each of these checkpoints of a disk: valid, or not for the reason that this is about. */
async function verdicts(
  machine: Machine,
  disk: string,
  names: readonly string[],
): Promise<Record<string, 'valid' | 'broken'>> {
  const verdict: Record<string, 'valid' | 'broken'> = {};
  for (const name of names) {
    const { ok, output } = await machine.validate(checkpointOf(name, [disk]));
    if (!ok) expect(output).toBe(`${MISSING} '${name}' for disk '${disk}'`);
    verdict[name] = ok ? 'valid' : 'broken';
    await machine.forgetCheckpoints();
  }
  return verdict;
}

/** Bitmaps by layer, 0 the base, in the order in which they are made. */
type Holders = readonly (readonly string[])[];

async function chainWith(folder: string, name: string, holders: Holders): Promise<string[]> {
  const chain = await makeChain(
    folder,
    name,
    holders.map(() => '4M'),
  );
  for (const [index, names] of holders.entries()) {
    if (names.length > 0) await tool('add', chain[index]!, ...names);
  }
  return chain;
}

test('libvirt accepts and refuses its own test chains as expected', async () => {
  const folder = await scratchFolder();
  const basic = await chainWith(folder, 'basic', [[], [], [], [], ['current', 'd', 'c', 'b', 'a']]);
  const snapshots = await chainWith(folder, 'snapshots', [
    ['a'],
    ['a'],
    ['a', 'b', 'c'],
    ['c', 'b', 'a', 'd'],
    ['d', 'a', 'b', 'c', 'current'],
  ]);
  const synthetic = await chainWith(folder, 'synthetic', [['a'], [], ['c', 'd'], ['d'], ['current']]);
  await crashOn(synthetic[4]!);
  await tool('add', synthetic[4]!, 'top-ok');
  await tool('add', '--disabled', synthetic[4]!, 'top-inactive');
  await tool('disable', synthetic[2]!, 'c');

  const machine = await machineWith({ vda: basic[4]!, vdb: snapshots[4]!, vdc: synthetic[4]! });
  await machine.start();
  const all = ['a', 'b', 'c', 'd', 'current'];
  const valid = { a: 'valid', b: 'valid', c: 'valid', d: 'valid', current: 'valid' };
  expect(await verdicts(machine, 'vda', all)).toEqual(valid);
  expect(await verdicts(machine, 'vdb', all)).toEqual(valid);
  expect(await verdicts(machine, 'vdc', ['top-ok', 'a', 'c', 'd', 'current', 'top-inactive'])).toEqual({
    'top-ok': 'valid',
    a: 'broken',
    c: 'broken',
    d: 'broken',
    current: 'broken',
    'top-inactive': 'broken',
  });
});

test('libvirt refuses a missing, disabled or in-use bitmap in any layer that counts, and ignores granularities', async () => {
  const folder = await scratchFolder();
  const two = [['c1'], ['c1']];
  const chains = {
    vda: await chainWith(folder, 'missing', [['c1'], []]),
    vdb: await chainWith(folder, 'top-disabled', two),
    vdc: await chainWith(folder, 'base-disabled', two),
    vdd: await chainWith(folder, 'base-in-use', two),
    vde: await chainWith(folder, 'gap', [['c1'], [], ['c1']]),
    vdf: await chainWith(folder, 'lower-without', [[], ['c1'], ['c1']]),
    vdg: await chainWith(folder, 'granularity', [['c1'], []]),
    vdh: await chainWith(folder, 'no-bitmaps-any-more', two),
  };
  await tool('disable', chains.vdb[1]!, 'c1');
  await tool('disable', chains.vdc[0]!, 'c1');
  await crashOn(chains.vdd[0]!);
  await tool('add', '-g', '4k', chains.vdg[1]!, 'c1');
  // The autoclear bit goes, the directory stays.
  await qemuImg('amend', '-q', '-o', 'compat=0.10', chains.vdh[1]!);
  await qemuImg('amend', '-q', '-o', 'compat=1.1', chains.vdh[1]!);

  const tops = Object.entries(chains).map(([disk, chain]) => [disk, chain.at(-1)!]);
  const machine = await machineWith(Object.fromEntries(tops));
  await machine.start();
  const verdict: Record<string, string | undefined> = {};
  for (const disk of Object.keys(chains)) verdict[disk] = (await verdicts(machine, disk, ['c1']))['c1'];
  expect(verdict).toEqual({
    vda: 'broken',
    vdb: 'broken',
    vdc: 'broken',
    vdd: 'broken',
    vde: 'broken',
    vdf: 'valid',
    vdg: 'valid',
    vdh: 'broken',
  });
});

test('libvirt accepts a checkpoint without disks unchecked', async () => {
  const folder = await scratchFolder();
  const machine = await machineWith({ vda: (await makeChain(folder, 'plain', ['4M']))[0]! });
  await machine.start();
  expect(await machine.validate(checkpointOf('c1', []).replace(/<disks>.*<.disks>/s, ''))).toMatchObject({
    ok: true,
  });
});

/** A machine with a full backup, checkpoint c1, and a MiB written since; then off, with an overlay that was written to. */
async function extendedByHand(size = '64M'): Promise<{ machine: Machine; overlay: string; folder: string }> {
  const folder = await scratchFolder();
  const [base, overlay] = [join(folder, 'base.qcow2'), join(folder, 'overlay.qcow2')];
  await createImage(base, undefined, '64M');
  await qemuIo(base, 'write -q -P 1 0 4M');
  const machine = await machineWith({ vda: base });
  for (const name of ['full', 'changes']) await mkdir(join(folder, name));
  await machine.start();
  expect(await machine.backup(join(folder, 'full'), { checkpoint: newCheckpoint('c1') })).toMatchObject({
    ok: true,
  });
  await machine.write('vda', 'write -P 2 1M 1M');
  await machine.stop();
  await machine.forgetCheckpoints();
  await createImage(overlay, base, size);
  await qemuIo(overlay, 'write -q -P 3 2M 64k');
  await machine.setDisks({ vda: overlay });
  return { machine, overlay, folder };
}

const restored = ({ folder, overlay }: { folder: string; overlay: string }) =>
  restoresTo(overlay, [join(folder, 'full', 'vda.qcow2'), join(folder, 'changes', 'vda.qcow2')]);

describe('an overlay with writes', () => {
  const C1 = checkpointOf('c1', ['vda']);

  test('is refused without the bitmap, and its backup is complete with a bitmap of its allocation', async () => {
    const extended = await extendedByHand();
    const { machine, overlay, folder } = extended;
    await machine.start();
    expect((await machine.validate(C1)).output).toBe(`${MISSING} 'c1' for disk 'vda'`);
    await machine.stop();

    await tool('create-from', '--allocated', overlay);
    await machine.start();
    expect(await machine.validate(C1)).toMatchObject({ ok: true });
    await machine.write('vda', 'write -P 4 5M 64k');
    expect(await machine.dumpCheckpoint('c1', '--size', '--no-domain')).toContain(
      `size='${(1024 + 64 + 64) * 1024}'`,
    );
    expect(await machine.backup(join(folder, 'changes'), { since: 'c1' })).toMatchObject({ ok: true });
    await machine.stop();
    expect(await restored(extended)).toBe(true);
  });

  test('is accepted with an empty bitmap, and its backup silently lacks the earlier writes', async () => {
    const extended = await extendedByHand();
    const { machine, overlay, folder } = extended;
    await qemuImg('bitmap', '--add', overlay, 'c1');
    await machine.start();
    expect(await machine.validate(C1)).toMatchObject({ ok: true });
    await machine.write('vda', 'write -P 4 5M 64k');
    expect(await machine.backup(join(folder, 'changes'), { since: 'c1' })).toMatchObject({ ok: true });
    await machine.stop();
    expect(await restored(extended)).toBe(false);
    const backup = await qemuImg('map', '--output=json', join(folder, 'changes', 'vda.qcow2'));
    expect(backup).not.toMatch(/"start": 2097152, .*"depth": 0/);
  });

  test('has a complete backup with a granularity finer than in the image below', async () => {
    const extended = await extendedByHand();
    const { machine, overlay, folder } = extended;
    await tool('create-from', '--allocated', '-n', 'c1', '-g', '4k', overlay);
    await machine.start();
    expect(await machine.validate(C1)).toMatchObject({ ok: true });
    await machine.write('vda', 'write -P 4 5M 64k');
    expect(await machine.backup(join(folder, 'changes'), { since: 'c1' })).toMatchObject({ ok: true });
    await machine.stop();
    expect(await restored(extended)).toBe(true);
  });

  test('is accepted if it is larger than its base, and its backup then fails', async () => {
    const { machine, overlay, folder } = await extendedByHand('128M');
    await tool('create-from', '--allocated', overlay);
    await machine.start();
    expect(await machine.validate(C1)).toMatchObject({ ok: true });
    const { ok, output } = await machine.backup(join(folder, 'changes'), { since: 'c1' });
    expect({ ok, output }).toEqual({ ok: false, output: expect.stringMatching(/different sizes/) });
  });
});
