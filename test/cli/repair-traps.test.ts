/**
 * Damage after which libvirt would accept a checkpoint though its bitmaps lack changes: neither a repair nor advice that is
 * followed may lead there.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { CheckResult } from '../../src/index.ts';
import { EditedImage } from '../image/edited-image.ts';
import { bitmapTool } from '../support/bitmap-tool.ts';
import { digest } from '../support/file-state.ts';
import { qemuImg, qemuIo, qemuMap } from '../support/qemu.ts';
import { scratchFolder } from '../support/scratch.ts';

/** The checkpoint c1 began in the base, which has changed since, and so has the overlay: both bitmaps are good. */
async function goodChain(): Promise<{ top: string; base: string }> {
  const folder = await scratchFolder();
  const [top, base] = [join(folder, 'top.qcow2'), join(folder, 'base.qcow2')];
  await qemuImg('create', '-q', '-f', 'qcow2', base, '8M');
  await qemuIo(base, 'write -q 0 1M');
  await qemuImg('bitmap', '--add', base, 'c1');
  await qemuIo(base, 'write -q 1M 1M');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top);
  await qemuImg('bitmap', '--add', top, 'c1');
  await qemuIo(top, 'write -q 4M 64k');
  return { top, base };
}

async function edit(path: string, change: (image: EditedImage) => void): Promise<void> {
  const image = new EditedImage(await readFile(path));
  change(image);
  await writeFile(path, image.bytes);
}

async function check(image: string): Promise<CheckResult['disks'][number]> {
  const { json, stderr } = await bitmapTool('check', '--json', image);
  expect(json, stderr).toBeDefined();
  return (json as CheckResult).disks[0]!;
}

test('a bitmap whose clusters belong to the disk as well is not called valid', async () => {
  const { top, base } = await goodChain();
  const offset = (await qemuMap(base))[0]!.offset!;
  await edit(base, (image) => image.writeTable(0, [BigInt(offset)]));
  expect((await check(top)).checkpoints[0]!.advice).toBe(`bitmap-tool repair --directory ${base}`);
  const before = await digest(base);
  const { exitCode, error } = await bitmapTool('repair', '--json', top);
  expect({ exitCode, error }).toMatchObject({
    exitCode: 4,
    error: { code: 'BITMAP_INCONSISTENT', file: base },
  });
  expect(await digest(base)).toBe(before);
});
