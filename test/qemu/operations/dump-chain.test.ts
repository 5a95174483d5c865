/** The union of a bitmap over a backing chain, which an incremental backup from a checkpoint copies. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { normalised, union } from '../../support/extents.ts';
import { overlayOnCheckpoint } from '../../support/overlay-on-checkpoint.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { type DirtyExtent, dirtyExtents } from '../../support/qemu-bitmap.ts';
import { scratchFolder } from '../../support/scratch.ts';

const dirtyOf = (extents: readonly DirtyExtent[]) =>
  extents.filter(({ type }) => type === 1).map(({ offset, length }) => ({ start: offset, length }));

test('dump --chain unites the bitmaps of every image that has one, at the finest granularity', async () => {
  const folder = await scratchFolder();
  const [base, middle, top] = ['base', 'middle', 'top'].map((name) => join(folder, `${name}.qcow2`)) as [
    string,
    string,
    string,
  ];
  await qemuImg('create', '-q', '-f', 'qcow2', base, '8M');
  await qemuImg('bitmap', '--add', '-g', '64k', base, 'c1');
  await qemuIo(base, 'write -q 1M 100k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', middle);
  await qemuIo(middle, 'write -q 3M 64k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', middle, '-F', 'qcow2', top);
  await qemuImg('bitmap', '--add', '-g', '4k', top, 'c1');
  await qemuIo(top, 'write -q 5M 1k', 'write -q 1M 4k');

  const expected = union(dirtyOf(await dirtyExtents(top, 'c1')), dirtyOf(await dirtyExtents(base, 'c1')));
  const united = await bitmapToolJson<DirtyExtent[]>('dump', '--chain', top, 'c1');
  expect(normalised(dirtyOf(united))).toEqual(normalised(expected));
  const alone = await bitmapToolJson<DirtyExtent[]>('dump', top, 'c1');
  expect(dirtyOf(alone)).toEqual(dirtyOf(await dirtyExtents(top, 'c1')));
});

test('dump --chain is refused if the top has no bitmap of that name, or one below is in use', async () => {
  const { base, overlay: top } = await overlayOnCheckpoint();
  expect((await bitmapTool('dump', '--chain', top, 'c1', '--json')).error?.code).toBe('BITMAP_NOT_FOUND');
  await qemuImg('bitmap', '--add', top, 'c1');
  expect((await bitmapTool('dump', '--chain', top, 'c1')).exitCode).toBe(0);
  await bitmapTool('remove', base, 'c1');
  await qemuImg('bitmap', '--add', base, 'c1');
  await qemuIo(base, 'write -q 0 64k', 'abort').catch(() => {});
  expect((await bitmapTool('dump', '--chain', top, 'c1', '--json')).error?.code).toBe('BITMAP_INCONSISTENT');
});
