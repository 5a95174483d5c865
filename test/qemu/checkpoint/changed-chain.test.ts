/**
 * Checkpoints on file whose XML contains what the current chain does not show. Each gets a verdict or is refused, and none that
 * misses a change is called good.
 */
import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { CheckResult, RepairResult } from '../../../src/index.ts';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { putCheckpoint } from '../../support/checkpoint-file.ts';
import { qemuBitmaps, qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { createDisk, markedUnits, restores, writeUnits } from '../../support/units.ts';

let folder: string;
let cp: string;
const at = (name: string) => join(folder, name);
const image = (name: string, backing?: string) => createDisk(at(name), backing);

beforeEach(async () => {
  folder = await scratchFolder();
  cp = at('checkpoints');
  await mkdir(cp);
});

async function check(...args: string[]) {
  const { exitCode, json, error } = await bitmapTool('check', '--json', '--checkpoints', cp, ...args);
  const [disk] = (json as CheckResult | undefined)?.disks ?? [];
  return { exitCode, error, checkpoints: disk?.checkpoints ?? [] };
}

/** Expects a refusal that changes no image. */
async function expectRefused(images: readonly string[], ...args: string[]) {
  const before = await Promise.all(images.map((path) => readFile(path)));
  const result = await bitmapTool('repair', '--json', '--checkpoints', cp, ...args);
  expect(result, result.stderr).toMatchObject({ exitCode: 4, stdout: '' });
  for (const [index, path] of images.entries())
    expect((await readFile(path)).equals(before[index]!)).toBe(true);
  return result.error!;
}

describe('after the commit of an overlay in which a checkpoint began', () => {
  let base: string;

  beforeEach(async () => {
    base = await image('base.qcow2');
    await writeUnits(base, 1, 0, 1, 2, 3);
    await qemuImg('bitmap', '--add', base, 'c1');
    const overlay = await image('overlay.qcow2', base);
    for (const name of ['c1', 'c2']) await qemuImg('bitmap', '--add', overlay, name);
    await writeUnits(overlay, 1, 10);
    await putCheckpoint(cp, 'c1', { disks: { vda: [base] } });
    await putCheckpoint(cp, 'c2', { parent: 'c1', disks: { vda: [overlay, base] } });
    await qemuImg('commit', '-q', overlay);
  });

  test('the base has only the bitmap of the older checkpoint, as QEMU leaves it', async () => {
    expect((await qemuBitmaps(base)).map(({ name }) => name)).toEqual(['c1']);
    expect(await markedUnits('c1', base)).toEqual([10]);
  });

  test.each([[[]], [['--disk', 'vda']]])(
    'check reports the checkpoint as lost, with the options %j',
    async (options) => {
      const { exitCode, checkpoints } = await check(...options, base);
      expect({ exitCode, checkpoints }).toMatchObject({
        exitCode: 3,
        checkpoints: [
          { name: 'c1', valid: true },
          { name: 'c2', valid: false, libvirt: 'refuses', problems: [{ code: 'no-bitmap' }] },
        ],
      });
      expect(checkpoints[1]!.problems[0]!.message).toContain(
        `${at('overlay.qcow2')}, which was the active image`,
      );
    },
  );

  test('repair does not guess another origin', async () => {
    for (const args of [[], ['--rebuild-origin'], ['--name', 'c2', '--origin', base]])
      expect(await expectRefused([base], ...args, base)).toMatchObject({
        code: 'BITMAP_NOT_FOUND',
        bitmap: 'c2',
      });
  });

  test('check reports the checkpoint as lost if only its parent or its guest connects it to the disk', async () => {
    await putCheckpoint(cp, 'c2', { disks: { vda: [at('overlay.qcow2')] } });
    expect(await check(base)).toMatchObject({ exitCode: 3, checkpoints: [{}, { name: 'c2', valid: false }] });
    await putCheckpoint(cp, 'c2', { parent: 'c1', guest: 'another', disks: { vda: ['/gone'] } });
    expect(await check(base)).toMatchObject({ exitCode: 3, checkpoints: [{}, { name: 'c2', valid: false }] });
  });

  test('a checkpoint of another guest is left out with a warning, and one of another disk is refused', async () => {
    await putCheckpoint(cp, 'c2', { guest: 'another', disks: { vda: ['/gone'] } });
    expect(await check(base)).toMatchObject({ exitCode: 0, checkpoints: [{ name: 'c1' }] });
    await putCheckpoint(cp, 'c2', { disks: { sda: ['/gone'] } });
    expect(await check(base)).toMatchObject({ exitCode: 4, error: { code: 'INVALID_CHECKPOINT' } });
  });
});

describe('an overlay that took the path of the image below it, after a crash before QEMU stored a bitmap', () => {
  let disk: string;
  let base: string;
  let then: string;

  beforeEach(async () => {
    disk = await image('disk.qcow2');
    await writeUnits(disk, 1, 0, 1, 2, 3);
    then = at('then.qcow2');
    await qemuImg('convert', '-O', 'qcow2', disk, then);
    await putCheckpoint(cp, 'c1', { disks: { vda: [disk] } });
    await writeUnits(disk, 1, 2);
    await writeUnits(disk, 77, 1);
    base = at('base.qcow2');
    await rename(disk, base);
    await image('disk.qcow2', base);
    await writeUnits(disk, 1, 20);
  });

  test('is distinguished from the old image, and no consent lets repair mark the overlay alone', async () => {
    const { exitCode, checkpoints } = await check(disk);
    expect(exitCode).toBe(3);
    expect(checkpoints[0]!.problems[0]!.message).toMatch(/another image has taken that path .*base\.qcow2/);
    expect(checkpoints[0]!.advice).toBe(`bitmap-tool repair --origin ${base} --checkpoints ${cp} ${disk}`);
    expect(checkpoints[0]!.advice).not.toContain('IMAGE');
    for (const args of [[], ['--rebuild-origin'], ['--name', 'c1', '--rebuild-origin']]) {
      const { message, hint } = (await expectRefused([disk, base], ...args, disk)) as {
        message: string;
        hint?: string;
      };
      expect(message).toContain('another image has taken that path');
      expect(hint).toContain(`--origin ${base}`);
      expect(hint).not.toContain('--rebuild-origin');
    }
    expect(
      await bitmapTool('repair', '--checkpoints', cp, '--name', 'c1', '--origin', disk, disk),
    ).toMatchObject({ exitCode: 4 });
  });

  test('is repaired with the old image as the origin, and a restore is then identical', async () => {
    const { exitCode } = await bitmapTool('repair', '--checkpoints', cp, '--origin', base, disk);
    expect(exitCode).toBe(0);
    expect(await check(disk)).toMatchObject({ exitCode: 0, checkpoints: [{ valid: true }] });
    expect(await restores(then, disk, 'c1', disk, base)).toBe(true);
  });

  test('is not valid if somebody adds the bitmap to the overlay alone', async () => {
    await bitmapTool('create-from', '--allocated', '--name', 'c1', disk);
    expect(await restores(then, disk, 'c1', disk)).toBe(false);
    const { exitCode, checkpoints } = await check(disk);
    expect({ exitCode, checkpoints }).toMatchObject({
      exitCode: 3,
      checkpoints: [
        { libvirt: 'accepts', valid: false, problems: [{ code: 'origin-replaced', image: base }] },
      ],
    });
    await expectRefused([disk, base], disk);
  });
});

describe('a guest that went back to an external snapshot', () => {
  let base: string;
  let fresh: string;

  beforeEach(async () => {
    base = await image('base.qcow2');
    await writeUnits(base, 1, 0, 1, 2, 3);
    const branch = await image('disk.s1', base);
    await writeUnits(branch, 1, 40);
    await putCheckpoint(cp, 'c2', { disks: { vda: [branch, base] } });
    await qemuImg('bitmap', '--add', branch, 'c2');
    await writeUnits(branch, 1, 44);
    fresh = await image('disk.s2', base);
    await writeUnits(fresh, 1, 48);
  });

  test('has lost the checkpoints of the branch that it left, and no image of its chain can restore them', async () => {
    const { exitCode, checkpoints } = await check(fresh);
    expect({ exitCode, checkpoints }).toMatchObject({
      exitCode: 3,
      checkpoints: [{ name: 'c2', valid: false, problems: [{ code: 'no-bitmap' }] }],
    });
    for (const options of [[], ['--rebuild-origin'], ['--disk', 'vda', '--name', 'c2', '--origin', base]]) {
      const { message } = await expectRefused([fresh, base], ...options, fresh);
      expect(message).toMatch(/disk\.s1, which was the active image .* is not in the chain/);
    }
  });

  test('has no valid checkpoint if somebody adds its bitmap to the new overlay', async () => {
    await bitmapTool('create-from', '--allocated', '--name', 'c2', fresh);
    const { exitCode, checkpoints } = await check(fresh);
    expect({ exitCode, checkpoints }).toMatchObject({
      exitCode: 3,
      checkpoints: [{ libvirt: 'accepts', valid: false, problems: [{ code: 'origin-left' }] }],
    });
    await expectRefused([fresh, base], fresh);
  });
});

describe('disks of one guest', () => {
  let vda: string;
  let vdb: string;

  beforeEach(async () => {
    [vda, vdb] = [await image('vda.qcow2'), await image('vdb.qcow2')];
    await qemuImg('bitmap', '--add', vda, 'c1');
  });

  test('must all have a checkpoint that one of them has', async () => {
    const { exitCode, json } = await bitmapTool('check', '--json', vda, vdb);
    expect(exitCode).toBe(3);
    expect((json as CheckResult).disks).toMatchObject([
      { checkpoints: [{ name: 'c1', valid: true }] },
      { checkpoints: [{ name: 'c1', valid: false, problems: [{ code: 'no-bitmap' }] }] },
    ]);
    expect(await bitmapTool('check', vda)).toMatchObject({ exitCode: 0 });
  });

  test('are repaired, with a warning and exit code 3 for a disk that lacks the checkpoint', async () => {
    const { exitCode, stderr, json } = await bitmapTool('repair', '--json', vda, vdb);
    expect(exitCode).toBe(3);
    expect((json as RepairResult).disks.map(({ absent }) => absent)).toEqual([[], ['c1']]);
    expect(stderr).toMatch(/vdb\.qcow2: no image of the chain has a bitmap \\"c1\\"/);
  });

  test('need no checkpoint that belongs only to other disks according to its XML', async () => {
    await putCheckpoint(cp, 'c1', { disks: { vda: [vda] } });
    await putCheckpoint(cp, 'c2', { parent: 'c1', disks: { vda: [vda], vdb: [vdb] } });
    for (const path of [vda, vdb]) await qemuImg('bitmap', '--add', path, 'c2');
    expect(await check(vda, vdb)).toMatchObject({ exitCode: 0 });
  });
});
