/** A name with `..` after a symbolic link means the image that the kernel and QEMU find. */
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { compareImages, qemuBitmaps, qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import { qcow2Nodes, startQemu } from '../../support/running-qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

/**
 * `d/link` leads to `real/sub`, so `d/link/../base.qcow2` is `real/base.qcow2`. As text it is `d/base.qcow2`,
 * which is another image.
 */
async function linkedFolders() {
  const folder = await scratchFolder();
  const at = (name: string) => join(folder, name);
  await mkdir(at('real/sub'), { recursive: true });
  await mkdir(at('d'));
  await symlink('../real/sub', at('d/link'));
  for (const base of ['real/base.qcow2', 'd/base.qcow2']) {
    await qemuImg('create', '-q', '-f', 'qcow2', at(base), '1M');
    await qemuIo(at(base), 'write -q -P 1 0 512k');
    await qemuImg('bitmap', '--add', at(base), 'c1');
  }
  const old = at('old.qcow2');
  await qemuImg('convert', '-O', 'qcow2', at('real/base.qcow2'), old);
  await qemuIo(at('real/base.qcow2'), 'write -q -P 7 512k 64k');
  const overlay = at('real/sub/overlay.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', '../base.qcow2', '-F', 'qcow2', overlay);
  await qemuIo(overlay, 'write -q -P 9 0 64k');
  return { folder, at, old, linked: `${folder}/d/link/overlay.qcow2` };
}

describe('a chain through a symbolic link', () => {
  test('has the images that QEMU reads', async () => {
    const { at, old, linked } = await linkedFolders();
    const ours = await bitmapToolJson<{ start: number; length: number; depth?: number }[]>('map', linked);
    const own = ours.map(({ start, length, depth }) => [start, length, depth]);
    const theirs = (await qemuMap(linked)).map(({ start, length, depth }) => [start, length, depth]);
    expect(own).toEqual(theirs);
    await qemuImg('bitmap', '--add', at('real/sub/overlay.qcow2'), 'c1');
    expect(await bitmapTool('verify', linked, 'c1', '--against', old)).toMatchObject({ exitCode: 3 });
  });

  test('is repaired there, and not in an image whose path is the same as text', async () => {
    const { at, linked } = await linkedFolders();
    for (const base of ['real/base.qcow2', 'd/base.qcow2']) {
      await qemuImg('bitmap', '--disable', at(base), 'c1');
    }
    const other = await readFile(at('d/base.qcow2'));
    const repair = await bitmapTool('repair', '--enable-disabled', '--name', 'c1', linked);
    expect(repair).toMatchObject({ exitCode: 0 });
    expect(await readFile(at('d/base.qcow2'))).toEqual(other);
    expect(await qemuBitmaps(at('real/base.qcow2'))).toMatchObject([{ name: 'c1', flags: ['auto'] }]);
  });

  test('is the backing chain of a new overlay', async () => {
    const { folder, at } = await linkedFolders();
    const [into, image] = [`${folder}/d/link/../new.qcow2`, `${folder}/d/link/../base.qcow2`];
    await bitmapToolJson('create-from', '--bitmap', 'c1', '--into', into, image);
    const { identical } = await compareImages(at('real/new.qcow2'), at('real/base.qcow2'));
    expect(identical).toBe(true);
  });

  test('of a running QEMU has the images that QEMU has open', async () => {
    const { folder, linked } = await linkedFolders();
    // QEMU runs in another temporary folder.
    const qemu = await startQemu(qcow2Nodes('disk', `../${basename(folder)}/d/link/overlay.qcow2`));
    await qemuImg('bitmap', '--remove', `${folder}/d/base.qcow2`, 'c1');
    const { layers } = await bitmapToolJson<{ layers: { bitmaps: { name: string }[] }[] }>(
      ...(['list', '--chain', '--qmp', qemu.socket, linked] as const),
    );
    expect(layers.map(({ bitmaps }) => bitmaps.length)).toEqual([0, 1]);
  });
});
