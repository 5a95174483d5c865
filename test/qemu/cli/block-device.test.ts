/**
 * Images on block devices, whose size is not in stat(2) and which cannot grow.
 */
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { digest } from '../../support/file-state.ts';
import { growLoopDevice, loopDevice } from '../../support/loop-device.ts';
import { qemuCheck, qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { scratchFolder } from '../../support/scratch.ts';

const KIB = 1024;

async function imageOfBytes(
  sizeBytes: number,
  ...options: string[]
): Promise<{ file: string; device: string }> {
  const file = join(await scratchFolder(), 'lv');
  await qemuImg('create', '-q', '-f', 'qcow2', file, '4M');
  await qemuIo(file, 'write -P 3 1M 256k');
  await truncate(file, sizeBytes);
  return { file, device: await loopDevice(file, ...options) };
}

test('a bitmap is stored on a device with enough space', async () => {
  const { device } = await imageOfBytes(2048 * KIB);
  const result = await bitmapTool('create-from', '--allocated', '--name', 'c1', device);
  expect(result.stderr).toBe('');
  expect(result.exitCode).toBe(0);
  expect(await qemuCheck(device)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
  const dirty = (await dirtyExtents(device, 'c1')).filter(({ type }) => type === 1);
  expect(dirty).toMatchObject([{ offset: 1024 * KIB, length: 256 * KIB }]);
  expect(await bitmapToolJson('map', device)).toMatchObject(await qemuMap(device));
});

test('a device without enough space is refused before any write, and the message gives the needed size', async () => {
  const { file, device } = await imageOfBytes(640 * KIB);
  const before = await digest(file);
  const { exitCode, error } = await bitmapTool(
    'create-from',
    '--allocated',
    '--name',
    'c1',
    '--json',
    device,
  );
  expect(exitCode).toBe(4);
  expect(error).toMatchObject({ code: 'NO_ROOM', sizeBytes: 640 * KIB });
  expect(await digest(file)).toBe(before);

  const { neededBytes } = error as unknown as { neededBytes: number };
  await truncate(file, neededBytes);
  await growLoopDevice(device);
  expect((await bitmapTool('create-from', '--allocated', '--name', 'c1', device)).exitCode).toBe(0);
  expect(await qemuCheck(device)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
});

test('a read-only device is refused', async () => {
  const { device } = await imageOfBytes(2048 * KIB, '--read-only');
  const { exitCode, error } = await bitmapTool(
    'create-from',
    '--allocated',
    '--name',
    'c1',
    '--json',
    device,
  );
  expect(exitCode).toBe(1);
  expect(error?.code).toBe('ACCESS_DENIED');
});
