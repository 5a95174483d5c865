/**
 * As many bitmaps, and as long names, as the format has room for: they work or are refused plainly, in bounded time.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  addBitmaps,
  clearBitmaps,
  createFrom,
  listBitmaps,
  RefusedError,
  removeBitmaps,
} from '../../src/index.ts';
import { bitmapTool } from '../support/bitmap-tool.ts';
import { qemuBitmaps, qemuCheck, qemuImg } from '../support/qemu.ts';
import { scratchFolder } from '../support/scratch.ts';

/** QCOW2_MAX_BITMAPS. */
const MOST_BITMAPS = 65_535;

test('65 535 bitmaps are added, listed, cleared, inherited and removed; one more is refused', async () => {
  const folder = await scratchFolder();
  const image = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', image, '64k');
  const names = Array.from({ length: MOST_BITMAPS }, (_, index) => `bitmap-${index}`);
  await addBitmaps(image, names);
  expect((await listBitmaps(image)).bitmaps.map(({ name }) => name)).toEqual(names);
  await expect(addBitmaps(image, ['one-more'])).rejects.toThrow(RefusedError);
  await expect(addBitmaps(image, ['one-more'])).rejects.toThrow(/65536 bitmaps .* QEMU allows 65535/);
  await clearBitmaps(image, names);
  const overlay = join(folder, 'overlay.qcow2');
  await qemuImg(
    'create',
    '-q',
    '-u',
    '-f',
    'qcow2',
    '-o',
    'cluster_size=512',
    '-b',
    image,
    '-F',
    'qcow2',
    overlay,
    '64k',
  );
  expect((await createFrom(overlay, { kind: 'allocated' })).bitmaps).toHaveLength(MOST_BITMAPS);
  expect(await qemuCheck(overlay)).toMatchObject({ exitCode: 0, leaks: 0, corruptions: 0, errors: 0 });
  await removeBitmaps(image, names.slice(1));
  expect((await qemuBitmaps(image)).map(({ name }) => name)).toEqual(['bitmap-0']);
  expect(await qemuCheck(image)).toMatchObject({ exitCode: 0, leaks: 0, corruptions: 0, errors: 0 });
}, 600_000);

test('names of 1023 bytes work from end to end, as QEMU takes them; longer ones are a mistake of the command line', async () => {
  const image = join(await scratchFolder(), 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, '1M');
  const names = ['a', 'b'].map((letter) => letter.repeat(1023));
  expect((await bitmapTool('add', image, ...names)).exitCode).toBe(0);
  expect((await qemuBitmaps(image)).map(({ name }) => name)).toEqual(names);
  expect((await bitmapTool('merge', image, names[0]!, '#ALLOCATED', names[1]!)).exitCode).toBe(0);
  expect((await bitmapTool('add', image, 'c'.repeat(1024))).exitCode).toBe(2);
  expect((await bitmapTool('remove', image, ...names)).exitCode).toBe(0);
  expect(await qemuBitmaps(image)).toEqual([]);
});
