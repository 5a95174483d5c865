/** create-from --bitmap --chain unites the bitmaps of a checkpoint over a chain. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../../support/bitmap-tool.ts';
import { crashOn } from '../../../support/crash.ts';
import { holdOpen } from '../../../support/hold-open.ts';
import { compareImages, qemuBitmaps, qemuImg, qemuIo } from '../../../support/qemu.ts';
import { type DirtyExtent, dirtyExtents } from '../../../support/qemu-bitmap.ts';
import { scratchFolder } from '../../../support/scratch.ts';

const dirty = (extents: readonly DirtyExtent[]) =>
  extents.filter(({ type }) => type === 1).map(({ offset, length }) => [offset, length]);
const MIB = 1 << 20;

/** top ← middle ← base; the checkpoint c1 begins in base, and every image has written to the disk since. */
async function checkpointChain(): Promise<{ folder: string; images: [string, string, string] }> {
  const folder = await scratchFolder();
  const [base, middle, top] = ['base', 'middle', 'top'].map((name) => join(folder, `${name}.qcow2`)) as [
    string,
    string,
    string,
  ];
  await qemuImg('create', '-q', '-f', 'qcow2', base, '8M');
  await qemuIo(base, 'write -q -P 1 0 2M');
  await qemuImg('bitmap', '--add', base, 'c1');
  await qemuIo(base, 'write -q -P 2 1M 64k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', middle);
  await qemuImg('bitmap', '--add', '-g', '4k', middle, 'c1');
  await qemuIo(middle, 'write -q -P 3 3M 64k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', middle, '-F', 'qcow2', top);
  await qemuImg('bitmap', '--add', top, 'c1');
  await qemuIo(top, 'write -q -P 4 5M 64k');
  return { folder, images: [top, middle, base] };
}

describe('create-from --chain', () => {
  test('unites the bitmaps of a checkpoint at the finest granularity, and serves them with the data', async () => {
    const {
      folder,
      images: [top],
    } = await checkpointChain();
    const overlay = join(folder, 'scratch.qcow2');
    await bitmapToolJson('create-from', '--bitmap', 'c1', '--chain', '--into', overlay, top);
    expect(await qemuBitmaps(overlay)).toEqual([{ name: 'c1', granularity: 4096, flags: ['auto'] }]);
    const dumped = await bitmapToolJson<DirtyExtent[]>('dump', '--chain', top, 'c1');
    expect(await dirtyExtents(overlay, 'c1')).toEqual(dumped);
    expect(dirty(dumped)).toEqual([
      [MIB, 65536],
      [3 * MIB, 65536],
      [5 * MIB, 65536],
    ]);
    // Without it QEMU serves the top's marks alone.
    expect(dirty(await dirtyExtents(top, 'c1'))).toEqual([[5 * MIB, 65536]]);
    expect(await compareImages(overlay, top)).toMatchObject({ identical: true });
  });

  test('stores the union in the image itself, or takes it from the chain of another image', async () => {
    const {
      folder,
      images: [top],
    } = await checkpointChain();
    await bitmapToolJson('create-from', '--bitmap', 'c1', '--chain', '-n', 'union', top);
    const expected = [
      [MIB, 65536],
      [3 * MIB, 65536],
      [5 * MIB, 65536],
    ];
    expect(dirty(await dirtyExtents(top, 'union'))).toEqual(expected);
    const other = join(folder, 'other.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', other, '8M');
    await bitmapToolJson('create-from', '--bitmap', 'c1', '--chain', '--from', top, '-n', 'copy', other);
    expect(dirty(await dirtyExtents(other, 'copy'))).toEqual(expected);
  });

  test('makes a bitmap that QEMU can merge into another image', async () => {
    const {
      folder,
      images: [top],
    } = await checkpointChain();
    const overlay = join(folder, 'scratch.qcow2');
    await bitmapToolJson('create-from', '--bitmap', 'c1', '--chain', '--into', overlay, top);
    await qemuImg('bitmap', '--add', '--merge', 'c1', '-b', overlay, '-F', 'qcow2', top, 'merged');
    expect(dirty(await dirtyExtents(top, 'merged'))).toEqual([
      [MIB, 65536],
      [3 * MIB, 65536],
      [5 * MIB, 65536],
    ]);
  });

  const broken = [
    {
      name: 'missing from the top',
      spoil: async ([top]: string[]) => void (await qemuImg('bitmap', '--remove', top!, 'c1')),
      says: 'top.qcow2: has no bitmap "c1"',
      code: 'BITMAP_INCONSISTENT',
    },
    {
      name: 'missing in between',
      spoil: async ([, middle]: string[]) => void (await qemuImg('bitmap', '--remove', middle!, 'c1')),
      says: 'middle.qcow2: has no bitmap "c1"',
      code: 'BITMAP_INCONSISTENT',
    },
    {
      name: 'marked in-use',
      spoil: ([, , base]: string[]) => crashOn(base!),
      says: 'base.qcow2: bitmap "c1" is marked in-use',
      code: 'BITMAP_INCONSISTENT',
    },
    {
      name: 'disabled',
      spoil: async ([, , base]: string[]) => void (await qemuImg('bitmap', '--disable', base!, 'c1')),
      says: 'base.qcow2: bitmap "c1" is disabled',
      code: 'BITMAP_INCONSISTENT',
    },
    {
      name: 'added after the image was written to',
      spoil: async ([top]: string[]) => {
        await qemuImg('bitmap', '--remove', top!, 'c1');
        await qemuImg('bitmap', '--add', top!, 'c1');
      },
      says: 'top.qcow2: bitmap "c1" does not mark 64 KiB that the image holds',
      code: 'BITMAP_INCONSISTENT',
    },
    {
      name: 'in no image',
      spoil: async (images: string[]) => {
        for (const image of images) await qemuImg('bitmap', '--remove', image, 'c1');
      },
      says: 'no image of the chain has a bitmap "c1"',
      code: 'BITMAP_NOT_FOUND',
    },
  ];

  test.each(broken)('refuses a checkpoint whose bitmap is $name', async ({ spoil, says, code }) => {
    const { folder, images } = await checkpointChain();
    await spoil(images);
    const overlay = join(folder, 'scratch.qcow2');
    const before = await readdir(folder);
    const { exitCode, error } = await bitmapTool(
      'create-from',
      '--bitmap',
      'c1',
      '--chain',
      '--into',
      overlay,
      images[0],
      '--json',
    );
    expect({ exitCode, code: error?.code }).toEqual({ exitCode: 4, code });
    expect(error?.message).toContain(says);
    expect(await readdir(folder)).toEqual(before);
  });

  test('refuses an image in use with --force-share, because its marks are in the memory of the program', async () => {
    const {
      folder,
      images: [top],
    } = await checkpointChain();
    await holdOpen(top);
    const args = ['create-from', '--bitmap', 'c1', '--chain', '--into', join(folder, 'scratch.qcow2'), top];
    expect((await bitmapTool(...args)).exitCode).toBe(5);
    const { exitCode, error } = await bitmapTool(...args, '-U', '--json');
    expect(exitCode).toBe(4);
    expect(error?.message).toContain(
      'a program has the image open for writing, and only that program knows its bitmap',
    );
  });

  test('requires --bitmap with names of checkpoints', async () => {
    const {
      images: [top],
    } = await checkpointChain();
    expect((await bitmapTool('create-from', '--allocated', '--chain', top)).exitCode).toBe(2);
    expect(
      (await bitmapTool('create-from', '--bitmap', '#ALLOCATED', '--chain', '-n', 'x', top)).exitCode,
    ).toBe(2);
  });
});
