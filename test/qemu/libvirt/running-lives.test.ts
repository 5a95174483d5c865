/**
 * Random events of a running guest: writes, discards, live snapshots, commits, lost bitmaps and crashes between repairs. The
 * next incremental backup over the full one must be equal to the disk.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { qemuIo } from '../../support/qemu.ts';
import { randomCases, seededRandom } from '../../support/random.ts';
import { randomWrites, writeCommands } from '../../support/random-writes.ts';
import { makeTemporaryFolder, scratchFolder } from '../../support/scratch.ts';
import { type LibvirtDaemon, startLibvirtDaemon } from './daemon.ts';
import { createImage, newCheckpoint, restoresTo } from './images.ts';
import { chainOf, defineMachine } from './machine.ts';

const DISK = { virtualSize: 64 * 2 ** 20, clusterSize: 65536 };

let libvirt: LibvirtDaemon;

beforeAll(async () => {
  libvirt = await startLibvirtDaemon(await makeTemporaryFolder());
});
afterAll(() => libvirt?.close());

it.each(randomCases(2))('a repaired guest backs up all that it has written ($again)', async ({ seed }) => {
  const random = seededRandom(seed);
  const folder = await scratchFolder();
  const base = join(folder, 'base.qcow2');
  await createImage(base, undefined, String(DISK.virtualSize));
  await qemuIo(base, ...writeCommands(randomWrites(random, DISK, ['data', 'zero'], 6)));
  const machine = await defineMachine(libvirt, { vda: base }, `r${folder.slice(-6)}`);
  onTestFinished(() => machine.remove());
  await machine.start();
  const [full, inc] = [join(folder, 'full'), join(folder, 'inc')];
  for (const path of [full, inc]) await mkdir(path);
  expect(await machine.backup(full, { checkpoint: newCheckpoint('c1') })).toMatchObject({ ok: true });

  const story: string[] = [];
  const tool = async (verb: string, ...args: string[]) => {
    story.push([verb, ...args].join(' '));
    return await bitmapTool(verb, '--domain', machine.name, '--connect', libvirt.uri, ...args);
  };
  const write = async () => {
    const kinds = ['data', 'data', 'zero', 'discard'] as const;
    const commands = writeCommands(randomWrites(random, DISK, kinds, 4)).map((command) =>
      command.replace(' -q', ''),
    );
    story.push(...commands);
    await machine.write('vda', ...commands, 'flush');
  };
  const repair = async () => {
    const { exitCode, stderr } = await tool('repair', '--name', 'c1');
    expect({ exitCode, stderr, story }).toMatchObject({ exitCode: 0, stderr: '' });
  };
  // The origin keeps its bitmap, because its allocation does not distinguish earlier from later data.
  await machine.snapshot('s0');
  let snapshots = 0;
  for (let step = 0; step < 6; step++) {
    await write();
    const what = random.pick([
      'snapshot',
      'lose',
      'crash',
      'repair',
      'commit lower',
      'commit active',
    ] as const);
    story.push(what);
    if (what === 'snapshot') await machine.snapshot(`s${++snapshots}`);
    if (what === 'commit lower' || what === 'commit active') {
      // The first image stays below the active one: a crash would break its bitmap.
      if ((await chainOf(machine.disks['vda']!)).length < 3) await machine.snapshot(`s${++snapshots}`);
      // libvirt merges the bitmaps of the two images. What neither has marked is lost to all.
      await repair();
      if (what === 'commit lower') await machine.commitLower('vda');
      else await machine.commitActive('vda');
    }
    if (what === 'lose') await tool('remove', 'vda', 'c1');
    if (what === 'crash') {
      await repair();
      await machine.stop();
      await machine.start();
      await write();
      await machine.crash();
      await machine.start();
    }
    if (what === 'repair') await repair();
  }
  await write();
  await repair();
  await write();
  expect(await tool('check'), story.join('\n')).toMatchObject({ exitCode: 0 });
  expect(await machine.backup(inc, { since: 'c1' })).toMatchObject({ ok: true });
  await machine.stop();
  const backups = [full, inc].map((path) => join(path, 'vda.qcow2'));
  expect(await restoresTo(machine.disks['vda']!, backups), story.join('\n')).toBe(true);
});
