/**
 * Checkpoints are carried through a commit, a flatten and a move, where qemu-img alone loses names or marks. The judge is a
 * restore: the old backup with the marked units of the disk must be equal to the disk.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { carryCheckpoints, checkCheckpoints, verifyBitmap } from '../../../src/index.ts';
import { compareImages, qemuBitmaps, qemuCheck, qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { createDisk, markedUnits, restores, UNIT, writeUnits } from '../../support/units.ts';

let folder: string;
let base: string;
let overlay: string;
/** The disk as it was when each checkpoint was made. */
let then: Record<string, string>;

const at = (name: string) => join(folder, name);

async function backUp(name: string): Promise<void> {
  then[name] = at(`${name}.raw`);
  await qemuImg('convert', '-O', 'raw', name === 'c1' ? base : overlay, then[name]!);
}

/** c1 began in the base, c2 in the overlay, which also records for c1. */
beforeEach(async () => {
  folder = await scratchFolder();
  then = {};
  [base, overlay] = [at('base.qcow2'), at('overlay.qcow2')];
  await createDisk(base);
  await writeUnits(base, 1, 0, 1, 2, 3);
  await backUp('c1');
  await qemuImg('bitmap', '--add', base, 'c1');
  await writeUnits(base, 2, 3, 4);
  await createDisk(overlay, base);
  await qemuImg('bitmap', '--add', overlay, 'c1');
  await writeUnits(overlay, 3, 10);
  await backUp('c2');
  await qemuImg('bitmap', '--add', '-g', '128k', overlay, 'c2');
  await writeUnits(overlay, 4, 11, 0);
});

async function expectCarried(disk: string): Promise<void> {
  expect((await qemuBitmaps(disk)).map(({ name, flags }) => [name, flags]).sort()).toEqual([
    ['c1', ['auto']],
    ['c2', ['auto']],
  ]);
  for (const name of ['c1', 'c2']) {
    expect(await restores(then[name]!, disk, name, disk), name).toBe(true);
    expect(await verifyBitmap(disk, name, then[name]!)).toMatchObject({ covered: true });
  }
  expect((await checkCheckpoints([disk])).healthy).toBe(true);
  expect(await qemuCheck(disk)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
}

describe('qemu-img without bitmap-tool', () => {
  test('copies only the marks of the top image if it converts with --bitmaps', async () => {
    const flat = at('flat.qcow2');
    await qemuImg('convert', '-O', 'qcow2', '--bitmaps', overlay, flat);
    expect((await qemuBitmaps(flat)).map(({ name }) => name).sort()).toEqual(['c1', 'c2']);
    expect(await restores(then['c1']!, flat, 'c1', flat)).toBe(false);
  });

  test('loses the names that the base lacks if it commits', async () => {
    await qemuImg('commit', '-q', overlay);
    expect((await qemuBitmaps(base)).map(({ name }) => name)).toEqual(['c1']);
  });
});

describe('carryCheckpoints', () => {
  test.each([
    ['with bitmaps', ['--bitmaps']],
    ['without', []],
  ])('gives a flat copy that was converted %s the marks of all images together', async (_, options) => {
    const flat = at('flat.qcow2');
    await qemuImg('convert', '-O', 'qcow2', ...options, overlay, flat);
    const result = await carryCheckpoints(overlay, flat);
    expect(result).toMatchObject({ from: overlay, image: flat, differingBytes: 0 });
    expect(await markedUnits('c1', flat)).toEqual([0, 3, 4, 10, 11]);
    await expectCarried(flat);
    const again = await carryCheckpoints(overlay, flat);
    expect(again.plan).toBeNull();
    expect(again.bitmaps.map(({ action }) => action)).toEqual(['unchanged', 'unchanged']);
  });

  test('marks earlier writes of a guest to the copy as well', async () => {
    const flat = at('flat.qcow2');
    await qemuImg('convert', '-O', 'qcow2', overlay, flat);
    await writeUnits(flat, 9, 50);
    expect(await carryCheckpoints(overlay, flat)).toMatchObject({ differingBytes: UNIT });
    await expectCarried(flat);
  });

  test('works before a commit, and QEMU then records the writes of the commit', async () => {
    expect(await carryCheckpoints(overlay, base)).toMatchObject({ differingBytes: null });
    await qemuImg('commit', '-q', overlay);
    await expectCarried(base);
    await writeUnits(base, 7, 60);
    await expectCarried(base);
  });

  test('is refused after the commit, because no bitmap has recorded the writes of the commit', async () => {
    await qemuImg('commit', '-q', overlay);
    const before = await readFile(base);
    await expect(carryCheckpoints(overlay, base)).rejects.toMatchObject({
      code: 'BITMAP_INCONSISTENT',
      message: expect.stringMatching(/overlay\.qcow2: holds nothing, .*committed already/),
    });
    expect((await readFile(base)).equals(before)).toBe(true);
  });

  test('works before a commit of several images', async () => {
    const top = at('top.qcow2');
    await createDisk(top, overlay);
    for (const name of ['c1', 'c2']) await qemuImg('bitmap', '--add', top, name);
    await writeUnits(top, 5, 20);
    await carryCheckpoints(top, base);
    await qemuImg('commit', '-q', '-b', base, top);
    await expectCarried(base);
  });

  test('carries only the named checkpoints, and writes nothing in a dry run', async () => {
    const flat = at('flat.qcow2');
    await qemuImg('convert', '-O', 'qcow2', overlay, flat);
    const before = await readFile(flat);
    const planned = await carryCheckpoints(overlay, flat, { dryRun: true });
    expect(planned.bitmaps.map(({ name }) => name)).toEqual(['c1', 'c2']);
    expect((await readFile(flat)).equals(before)).toBe(true);
    await carryCheckpoints(overlay, flat, { names: ['c2'] });
    expect((await qemuBitmaps(flat)).map(({ name }) => name)).toEqual(['c2']);
    expect((await compareImages(flat, overlay)).identical).toBe(true);
  });

  test('refuses an invalid checkpoint, another disk size, and a broken bitmap in the copy', async () => {
    const flat = at('flat.qcow2');
    await qemuImg('convert', '-O', 'qcow2', overlay, flat);
    await qemuImg('bitmap', '--disable', base, 'c1');
    await expect(carryCheckpoints(overlay, flat)).rejects.toMatchObject({ code: 'BITMAP_INCONSISTENT' });
    await qemuImg('bitmap', '--enable', base, 'c1');
    await qemuImg('bitmap', '--add', '--disable', flat, 'c1');
    await expect(carryCheckpoints(overlay, flat)).rejects.toMatchObject({
      code: 'BITMAP_INCONSISTENT',
      message: expect.stringMatching(/flat\.qcow2: its own bitmap "c1" is disabled/),
    });
    await qemuImg('bitmap', '--remove', flat, 'c1');
    await qemuImg('resize', '-q', flat, '16M');
    await expect(carryCheckpoints(overlay, flat)).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
  });
});
