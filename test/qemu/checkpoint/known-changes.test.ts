/**
 * repair --against and --branch make a bitmap from known changes, and it misses none. The judge is a restore: the old backup
 * with the marked units of the disk must be equal to the disk.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { RepairResult } from '../../../src/index.ts';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { putCheckpoint } from '../../support/checkpoint-file.ts';
import { crashOn } from '../../support/crash.ts';
import { qemuCheck, qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { createDisk, markedUnits, restores, UNIT, writeUnits } from '../../support/units.ts';

let folder: string;
let cp: string;
const at = (name: string) => join(folder, name);
const image = (name: string, backing?: string, ...options: string[]) =>
  createDisk(at(name), backing, ...options);

beforeEach(async () => {
  folder = await scratchFolder();
  cp = at('checkpoints');
  await mkdir(cp);
});

/** A full backup of the current disk. */
async function backUp(disk: string, name: string, format = 'qcow2'): Promise<string> {
  await qemuImg('convert', '-O', format, disk, at(name));
  return at(name);
}

async function repair(...args: string[]) {
  const { exitCode, stdout, stderr, json, error } = await bitmapTool('repair', '--json', ...args);
  return { exitCode, stdout, stderr, error, disks: (json as RepairResult | undefined)?.disks };
}

describe('repair --against', () => {
  test.each(['qcow2', 'raw'])(
    'makes a broken bitmap from exactly what differs from a %s backup',
    async (format) => {
      const disk = await image('disk.qcow2');
      await writeUnits(disk, 1, 1, 2, 3, 4, 5, 6, 7);
      const full = await backUp(disk, 'full', format);
      await qemuImg('bitmap', '--add', disk, 'c1');
      await putCheckpoint(cp, 'c1', { disks: { vda: [disk] } });
      await writeUnits(disk, 2, 3, 20);
      // Written with the same data as before.
      await writeUnits(disk, 1, 5);
      await crashOn(disk);
      const overlay = await image('overlay.qcow2', disk);
      await writeUnits(overlay, 3, 30);
      expect(await repair('--checkpoints', cp, overlay)).toMatchObject({
        exitCode: 4,
        error: { code: 'NEEDS_CONSENT' },
      });

      const before = await readFile(disk);
      const planned = await repair('--checkpoints', cp, '--against', full, '--dry-run', overlay);
      expect(planned).toMatchObject({ exitCode: 0 });
      expect((await readFile(disk)).equals(before)).toBe(true);
      const { exitCode, disks } = await repair('--checkpoints', cp, '--against', full, overlay);
      expect(exitCode).toBe(0);
      expect(disks![0]!.checkpoints).toEqual([{ name: 'c1', wasValid: false }]);
      // The bitmap keeps its marks from before the crash.
      const exact = [0, 3, 20, 30];
      expect((await markedUnits('c1', disk, overlay)).filter((unit) => unit !== 5)).toEqual(exact);
      expect(await markedUnits('c1', overlay)).toEqual([30]);
      expect(await restores(full, overlay, 'c1', disk, overlay)).toBe(true);
      expect(await bitmapTool('check', '--checkpoints', cp, overlay)).toMatchObject({ exitCode: 0 });
      expect(await qemuCheck(disk)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
    },
  );

  test('marks only the differences even if a raw external data file makes the whole disk allocated', async () => {
    const disk = await image('disk.qcow2', undefined, '-o', `data_file=${at('disk.raw')},data_file_raw=on`);
    await writeUnits(disk, 1, 1, 2, 3);
    const full = await backUp(disk, 'full.qcow2');
    await putCheckpoint(cp, 'c1', { disks: { vda: [disk] } });
    await writeUnits(disk, 2, 9);
    const loose = await repair('--checkpoints', cp, '--rebuild-origin', '--dry-run', disk);
    const { disks } = await repair('--checkpoints', cp, '--against', full, disk);
    const bytes = (each: typeof disks) => each![0]!.images[0]!.bitmaps[0]!.dirtyBytes;
    expect([bytes(loose.disks), bytes(disks)]).toEqual([8 << 20, UNIT]);
    expect(await restores(full, disk, 'c1', disk)).toBe(true);
  });

  test('accepts an incremental backup over its full backup, and refuses one over the disk', async () => {
    const disk = await image('disk.qcow2');
    await writeUnits(disk, 1, 1, 2);
    const full = await backUp(disk, 'full.qcow2');
    await writeUnits(disk, 2, 5);
    const incremental = await image('inc.qcow2', disk);
    await writeUnits(incremental, 2, 5);
    await putCheckpoint(cp, 'c2', { disks: { vda: [disk] } });
    await writeUnits(disk, 3, 6);
    const before = await readFile(disk);
    const args = ['--checkpoints', cp, '--against', incremental, disk];
    const refused = await repair(...args);
    expect(refused).toMatchObject({ exitCode: 4, error: { code: 'SELF_COMPARISON' } });
    expect((await readFile(disk)).equals(before)).toBe(true);
    await qemuImg('rebase', '-u', '-b', full, '-F', 'qcow2', incremental);
    expect(await repair(...args)).toMatchObject({ exitCode: 0 });
    expect(await markedUnits('c2', disk)).toEqual([6]);
    expect(await restores(incremental, disk, 'c2', disk)).toBe(true);
  });

  test('refuses a backup over an image of the chain that was written later, and accepts one over an older image', async () => {
    const oldest = await image('oldest.qcow2');
    await writeUnits(oldest, 1, 0, 1);
    const disk = await image('disk.qcow2', oldest);
    await writeUnits(disk, 2, 3);
    const shared = await image('shared.qcow2', oldest);
    await writeUnits(shared, 2, 3);
    const overlaid = await image('overlaid.qcow2', disk);
    await putCheckpoint(cp, 'c1', { disks: { vda: [disk, oldest] } });
    await writeUnits(disk, 3, 4);
    const top = await image('top.qcow2', disk);
    await writeUnits(top, 4, 5);
    expect(await repair('--checkpoints', cp, '--against', overlaid, top)).toMatchObject({
      exitCode: 4,
      error: { code: 'SELF_COMPARISON', file: disk },
    });
    expect(await repair('--checkpoints', cp, '--against', shared, top)).toMatchObject({ exitCode: 0 });
    expect(await markedUnits('c1', disk, top)).toEqual([4, 5]);
  });

  test('refuses a backup over a lower image that nothing shows to be older than the checkpoint', async () => {
    const base = await image('base.qcow2');
    await writeUnits(base, 1, 2);
    // A push backup of libvirt, which still reads from the disk.
    const push = await image('push.qcow2', base);
    await writeUnits(base, 5);
    const top = await image('top.qcow2', base);
    await writeUnits(top, 9);
    const against = ['--name', 'c1', '--against', push, top];
    expect(await repair(...against)).toMatchObject({ exitCode: 4, error: { code: 'SELF_COMPARISON' } });
    expect(await repair('--origin', base, ...against)).toMatchObject({
      exitCode: 4,
      error: { code: 'SELF_COMPARISON' },
    });
    expect(await repair('--origin', top, ...against)).toMatchObject({ exitCode: 0 });
  });

  test('repairs one checkpoint at a time, each against its own backup', async () => {
    const disk = await image('disk.qcow2');
    await writeUnits(disk, 1, 1);
    const one = await backUp(disk, 'one.qcow2');
    await qemuImg('bitmap', '--add', disk, 'c1');
    await writeUnits(disk, 2, 2);
    const two = await backUp(disk, 'two.qcow2');
    await qemuImg('bitmap', '--add', disk, 'c2');
    await writeUnits(disk, 3, 3);
    await crashOn(disk);
    await putCheckpoint(cp, 'c1', { disks: { vda: [disk] } });
    await putCheckpoint(cp, 'c2', { parent: 'c1', disks: { vda: [disk] } });
    const both = await repair('--checkpoints', cp, '--against', two, disk);
    expect(both).toMatchObject({ exitCode: 2, error: { message: expect.stringMatching(/c1, c2/) } });
    for (const [name, backup] of [
      ['c1', one],
      ['c2', two],
    ] as const) {
      const args = ['--checkpoints', cp, '--name', name, '--against', backup, disk];
      expect(await repair(...args)).toMatchObject({ exitCode: 0 });
      expect(await restores(backup, disk, name, disk)).toBe(true);
    }
    expect([await markedUnits('c1', disk), await markedUnits('c2', disk)]).toEqual([
      [0, 2, 3],
      [0, 3],
    ]);
    expect(await bitmapTool('check', '--checkpoints', cp, disk)).toMatchObject({ exitCode: 0 });
  });

  test('needs one backup of the same size for each image', async () => {
    const [vda, vdb] = [await image('vda.qcow2'), await image('vdb.qcow2')];
    const full = await backUp(vda, 'full.qcow2');
    await putCheckpoint(cp, 'c1', { disks: { vda: [vda], vdb: [vdb] } });
    const both = ['--checkpoints', cp, vda, vdb];
    expect(await repair('--against', full, ...both)).toMatchObject({ exitCode: 2 });
    expect(await repair('--against', full, '--against', full, ...both)).toMatchObject({ exitCode: 0 });
    await qemuImg('resize', '-q', full, '16M');
    await qemuImg('bitmap', '--remove', vda, 'c1');
    expect(await repair('--against', full, '--checkpoints', cp, vda)).toMatchObject({
      exitCode: 4,
      error: { code: 'SIZE_MISMATCH' },
    });
  });
});

describe('a guest that went back to an external snapshot', () => {
  let base: string;
  let branch: string;
  let fresh: string;
  let backup: string;

  beforeEach(async () => {
    base = await image('base.qcow2');
    await writeUnits(base, 1, 0, 1, 2, 3);
    branch = await image('disk.s1', base);
    await writeUnits(branch, 2, 40, 1);
    await qemuImg('bitmap', '--add', branch, 'c2');
    await putCheckpoint(cp, 'c2', { disks: { vda: [branch, base] } });
    backup = await backUp(branch, 'backup.qcow2');
    await writeUnits(branch, 3, 44);
    fresh = await image('disk.s2', base);
    await writeUnits(fresh, 4, 48);
  });

  test('gets its checkpoint back from the branch that it left, and the branch stays as it is', async () => {
    const before = await readFile(branch);
    const { exitCode } = await repair('--checkpoints', cp, '--branch', branch, fresh);
    expect(exitCode).toBe(0);
    expect((await readFile(branch)).equals(before)).toBe(true);
    expect(await markedUnits('c2', fresh)).toEqual([48]);
    expect(await markedUnits('c2', base)).toEqual([1, 40, 44]);
    expect(await restores(backup, fresh, 'c2', base, fresh)).toBe(true);
    expect(await bitmapTool('check', '--checkpoints', cp, fresh)).toMatchObject({ exitCode: 0 });
  });

  test('gets its checkpoint back from the backup, with exact marks', async () => {
    expect(await repair('--checkpoints', cp, '--against', backup, fresh)).toMatchObject({ exitCode: 0 });
    expect(await markedUnits('c2', base, fresh)).toEqual([1, 40, 48]);
    expect(await restores(backup, fresh, 'c2', base, fresh)).toBe(true);
    expect(await bitmapTool('check', '--checkpoints', cp, fresh)).toMatchObject({ exitCode: 0 });
  });

  test('loses changes if only the data of the current chain is marked', async () => {
    await bitmapTool('create-from', '--allocated', '--name', 'c2', fresh);
    await bitmapTool('create-from', '--allocated', '--name', 'c2', base);
    expect(await restores(backup, fresh, 'c2', base, fresh)).toBe(false);
  });

  test('reads the image of the branch in which the checkpoint began and the images below it', async () => {
    const later = await image('disk.s1b', branch);
    await writeUnits(later, 5, 50);
    expect(await repair('--checkpoints', cp, '--branch', later, fresh)).toMatchObject({ exitCode: 0 });
    // The backup cannot contain data from above the old active image.
    expect(await markedUnits('c2', base, fresh)).toEqual([1, 40, 44, 48]);
    expect(await restores(backup, fresh, 'c2', base, fresh)).toBe(true);
  });

  test('needs no XML if the checkpoint is named', async () => {
    const unnamed = await repair('--branch', branch, fresh);
    expect(unnamed).toMatchObject({
      exitCode: 2,
      error: { message: expect.stringMatching(/no checkpoint/) },
    });
    expect(await repair('--name', 'c2', '--branch', branch, fresh)).toMatchObject({ exitCode: 0 });
    expect(await restores(backup, fresh, 'c2', base, fresh)).toBe(true);
  });

  test('marks as well what an older checkpoint of the image at the fork has recorded', async () => {
    await qemuImg('bitmap', '--add', base, 'c1');
    await putCheckpoint(cp, 'c1', { disks: { vda: [base] } });
    await putCheckpoint(cp, 'c2', { parent: 'c1', disks: { vda: [branch, base] } });
    await qemuImg('commit', '-q', '-d', branch);
    await writeUnits(base, 6, 60);
    expect(await repair('--checkpoints', cp, '--branch', branch, base)).toMatchObject({ exitCode: 0 });
    expect(await markedUnits('c2', base)).toEqual([1, 40, 44, 60]);
    expect(await restores(backup, base, 'c2', base)).toBe(true);
    expect(await bitmapTool('check', '--checkpoints', cp, base)).toMatchObject({ exitCode: 0 });
  });

  test('marks all data of the image at the fork if the branch was committed into it and emptied', async () => {
    await qemuImg('commit', '-q', branch);
    const later = await image('disk.s3', base);
    await writeUnits(later, 7, 61);
    expect(await repair('--checkpoints', cp, '--branch', branch, later)).toMatchObject({ exitCode: 0 });
    expect(await restores(backup, later, 'c2', base, later)).toBe(true);
  });

  test('refuses an image that is not a branch of the chain, and a branch of another size', async () => {
    for (const other of [base, fresh, backup])
      expect(await repair('--checkpoints', cp, '--branch', other, fresh)).toMatchObject({
        exitCode: 4,
        error: { code: 'BROKEN_CHAIN', file: other },
      });
    await qemuImg('bitmap', '--remove', branch, 'c2');
    await qemuImg('resize', '-q', branch, '16M');
    expect(await repair('--checkpoints', cp, '--branch', branch, fresh)).toMatchObject({
      exitCode: 4,
      error: { code: 'SIZE_MISMATCH', file: branch },
    });
  });
});

describe('a disk that joined later', () => {
  test('joins a checkpoint with all its data, by one command for the guest', async () => {
    const [vda, vdb] = [await image('vda.qcow2'), await image('vdb.qcow2')];
    await qemuImg('bitmap', '--add', vda, 'c1');
    await writeUnits(vdb, 1, 7, 8);
    const { exitCode } = await repair('--name', 'c1', '--origin', vdb, vda, vdb);
    expect(exitCode).toBe(0);
    expect([await markedUnits('c1', vda), await markedUnits('c1', vdb)]).toEqual([[], [7, 8]]);
    expect(await bitmapTool('check', vda, vdb)).toMatchObject({ exitCode: 0 });
  });

  test('cannot join with two origins of one disk, or with an origin that is in no chain', async () => {
    const [vda, vdb] = [await image('vda.qcow2'), await image('vdb.qcow2')];
    for (const origins of [
      [vda, vda],
      [vda, at('restored.qcow2')],
    ]) {
      await image('restored.qcow2');
      const args = origins.flatMap((path) => ['--origin', path]);
      expect(await repair('--name', 'c1', ...args, vda, vdb)).toMatchObject({ exitCode: 2 });
    }
  });
});
