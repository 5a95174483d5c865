/** The images of other software that docs/environments.md lists as tried, made without that software. */
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { growLoopDevice, loopDevice } from '../../support/loop-device.ts';
import { compareImages, qemuBitmaps, qemuImg, qemuIo } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { scratchFolder } from '../../support/scratch.ts';

const names = async (image: string) => (await qemuBitmaps(image)).map(({ name }) => name);
const dirty = async (image: string, name: string) =>
  (await dirtyExtents(image, name))
    .filter(({ type }) => type === 1)
    .map(({ offset, length }) => [offset, length]);

const MIB = 1 << 20;

test("repair works for oVirt on block storage: volumes on devices, links in the image's folder, relative backing names", async () => {
  const folder = await scratchFolder();
  const image = join(folder, 'images', 'c3d5');
  await mkdir(image, { recursive: true });
  const [base, leaf] = [join(image, '11aa'), join(image, '22bb')];
  const volumes = [join(folder, 'base.volume'), join(folder, 'leaf.volume')] as const;
  const devices: string[] = [];
  for (const [index, [link, sizeBytes]] of (
    [
      [base, 4 * MIB],
      [leaf, 448 * 1024],
    ] as const
  ).entries()) {
    await writeFile(volumes[index]!, '');
    await truncate(volumes[index]!, sizeBytes);
    devices.push(await loopDevice(volumes[index]!));
    await symlink(devices[index]!, link);
  }
  const checkpoint = '79af917a-b113-45e7-bc10-ead951260373';
  await qemuImg('create', '-q', '-f', 'qcow2', base, '8M');
  await qemuImg('bitmap', '--add', base, checkpoint);
  await qemuIo(base, 'write -q -P 1 1M 64k');
  // As vdsm does: the name of the volume below, in the same folder.
  await qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', '11aa', '-F', 'qcow2', leaf, '8M');
  await qemuIo(leaf, 'write -q -P 2 3M 64k');

  expect((await bitmapTool('check', leaf)).exitCode).toBe(3);
  // By the device the name of the volume below leads nowhere.
  const byDevice = await bitmapTool('check', devices[1]!, '--json');
  expect(byDevice.stdout).toContain('chain-broken');

  // The device is full but for one cluster: measure says what to extend it to.
  const { newEndOffset, endOffset } = await bitmapToolJson<{ newEndOffset: number; endOffset: number }>(
    'measure',
    '--allocated',
    leaf,
  );
  expect(newEndOffset).toBeGreaterThan(endOffset);
  const refused = await bitmapTool('repair', '--name', checkpoint, leaf, '--json');
  expect({ exitCode: refused.exitCode, code: refused.error?.code }).toEqual({ exitCode: 4, code: 'NO_ROOM' });
  expect(refused.error?.message).toContain(`${newEndOffset}`);

  await truncate(volumes[1], newEndOffset);
  await growLoopDevice(devices[1]!);
  await bitmapToolJson('repair', '--name', checkpoint, leaf);
  expect((await bitmapTool('check', leaf)).exitCode).toBe(0);
  const scratch = join(folder, 'scratch.qcow2');
  await bitmapToolJson('create-from', '--bitmap', checkpoint, '--chain', '--into', scratch, leaf);
  expect(await dirty(scratch, checkpoint)).toEqual([
    [MIB, 65536],
    [3 * MIB, 65536],
  ]);
  expect(await compareImages(scratch, leaf)).toMatchObject({ identical: true });
});

test('repair works for OpenNebula after a backup of a powered-off machine, with a disk snapshot or interrupted between two disks', async () => {
  const folder = await scratchFolder();
  const disks = ['disk.0', 'disk.1'].map((name) => join(folder, name));
  for (const disk of disks) {
    await qemuImg('create', '-q', '-f', 'qcow2', disk, '8M');
    await qemuImg('bitmap', '--add', disk, 'one-7-3');
    await qemuIo(disk, 'write -q 1M 64k');
  }
  // The backup adds the next bitmap disk by disk, and is killed after the first.
  await qemuImg('bitmap', '--add', disks[0]!, 'one-7-4');
  const { exitCode, stdout } = await bitmapTool('check', ...disks);
  expect(exitCode).toBe(3);
  expect(stdout).toContain(`bitmap-tool checkpoint-create one-7-4 ${disks.join(' ')}`);
  await bitmapToolJson('checkpoint-create', 'one-7-4', '--disk', 'vda', '--disk', 'vdb', ...disks);
  for (const disk of disks) expect(await names(disk)).toEqual(['one-7-3', 'one-7-4']);

  // A disk snapshot: the active image has no bitmap, and its backup would lack what it holds.
  const snapshot = join(folder, 'disk.0.snap');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', disks[0]!, '-F', 'qcow2', snapshot);
  await qemuIo(snapshot, 'write -q 5M 64k');
  await bitmapToolJson('repair', snapshot);
  const scratch = join(folder, 'scratch.qcow2');
  await bitmapToolJson('create-from', '--bitmap', 'one-7-3', '--chain', '--into', scratch, snapshot);
  expect(await dirty(scratch, 'one-7-3')).toEqual([
    [MIB, 65536],
    [5 * MIB, 65536],
  ]);

  // A reset removes all, and starts with the next full backup.
  for (const disk of disks) await bitmapToolJson('remove', '--all', disk);
  for (const disk of disks) expect(await names(disk)).toEqual([]);
});

test('repair works for KubeVirt with overlays whose data is in raw files', async () => {
  const folder = await scratchFolder();
  const overlays: string[] = [];
  for (const disk of ['rootdisk', 'datadisk']) {
    const [raw, overlay] = [join(folder, `${disk}.img`), join(folder, `${disk}.qcow2`)];
    await qemuImg('create', '-q', '-f', 'raw', raw, '8M');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${raw},data_file_raw=on`, overlay, '8M');
    overlays.push(overlay);
  }
  const [overlay] = overlays;
  const disks = ['--disk', 'vda', '--disk', 'vdb'];
  await bitmapToolJson('checkpoint-create', 'b1', ...disks, ...overlays);
  for (const each of overlays) await qemuIo(each, 'write -q -P 1 2M 64k');
  await bitmapToolJson('checkpoint-create', 'b2', ...disks, ...overlays);
  expect((await bitmapTool('check', ...overlays)).exitCode).toBe(0);

  const scratch = join(folder, 'scratch.qcow2');
  await bitmapToolJson('create-from', '--bitmap', 'b1', '--chain', '--into', scratch, overlay!);
  expect(await dirty(scratch, 'b1')).toEqual([[2 * MIB, 65536]]);
  expect(await compareImages(scratch, overlay!)).toMatchObject({ identical: true });
  await bitmapToolJson('remove', overlay!, 'b1');
  expect(await names(overlay!)).toEqual(['b2']);
});
