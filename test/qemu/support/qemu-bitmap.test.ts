/** The bitmap judge reads what QEMU recorded for the image itself, and leaves no server behind. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { crashOn } from '../../support/crash.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { scratchFolder } from '../../support/scratch.ts';

async function baseWithBitmap(folder: string): Promise<string> {
  const base = join(folder, 'base.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', base, '1M');
  await qemuImg('bitmap', '--add', '-g', '4096', base, 'b');
  await qemuIo(base, 'write -q 5000 10000');
  return base;
}

describe('the dirty extents of a bitmap', () => {
  test('are the written granules', async () => {
    const base = await baseWithBitmap(await scratchFolder());
    expect(await dirtyExtents(base, 'b')).toEqual([
      { offset: 0, length: 4096, type: 0, description: 'clean' },
      { offset: 4096, length: 12288, type: 1, description: 'dirty' },
      { offset: 16384, length: 1032192, type: 0, description: 'clean' },
    ]);
  });

  test('cannot be read for a name that only the backing image has', async () => {
    const folder = await scratchFolder();
    const base = await baseWithBitmap(folder);
    const overlay = join(folder, 'overlay.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay);
    await expect(dirtyExtents(overlay, 'b')).rejects.toThrow('has no bitmap b');
  });

  test('cannot be read from an inconsistent bitmap, with the message of qemu-nbd', async () => {
    const base = await baseWithBitmap(await scratchFolder());
    await crashOn(base);
    await expect(dirtyExtents(base, 'b')).rejects.toThrow("Bitmap 'b' is inconsistent");
  });
});
