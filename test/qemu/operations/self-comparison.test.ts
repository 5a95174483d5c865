/** A disk that is read through the examined image cannot differ from it, so a comparison with it proves nothing. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { createFrom, verifyBitmap } from '../../../src/index.ts';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { compareImages, qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

let folder: string;
let disk: string;
let full: string;

const at = (name: string) => join(folder, name);

/** A full backup, the bitmap of a checkpoint, and then a write that the bitmap was kept from recording. */
beforeEach(async () => {
  folder = await scratchFolder();
  [disk, full] = [at('disk.qcow2'), at('full.qcow2')];
  await qemuImg('create', '-q', '-f', 'qcow2', disk, '4M');
  await qemuIo(disk, 'write -P 1 0 2M');
  await qemuImg('convert', '-O', 'qcow2', disk, full);
  await qemuImg('bitmap', '--add', '--disable', disk, 'c1');
  await qemuIo(disk, 'write -P 2 1M 64k');
});

async function overlayOn(backing: string, name: string): Promise<string> {
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', backing, '-F', 'qcow2', at(name));
  return at(name);
}

/** Both verbs that compare refuse, write nothing, and say so in the same words. */
async function expectRefused(against: string, message: RegExp): Promise<void> {
  const before = await readFile(disk);
  await expect(verifyBitmap(disk, 'c1', against)).rejects.toMatchObject({
    code: 'SELF_COMPARISON',
    message: expect.stringMatching(message),
  });
  await expect(createFrom(disk, { kind: 'compare', image: against }, { names: ['x'] })).rejects.toMatchObject(
    {
      code: 'SELF_COMPARISON',
    },
  );
  expect((await readFile(disk)).equals(before)).toBe(true);
}

test('an incremental backup that libvirt left over the disk is refused, and is accepted over its own full backup', async () => {
  const incremental = await overlayOn(disk, 'inc.qcow2');
  expect((await compareImages(disk, incremental)).identical).toBe(true);
  await expectRefused(incremental, /inc\.qcow2 is read through .*disk\.qcow2 itself/);
  const refused = await bitmapTool('verify', disk, 'c1', '--against', incremental);
  expect(refused).toMatchObject({ exitCode: 4, stdout: '' });
  expect(refused.stderr).toContain(`qemu-img rebase -u -b BACKUP -F qcow2 ${incremental}`);

  await qemuImg('rebase', '-u', '-b', full, '-F', 'qcow2', incremental);
  expect((await compareImages(disk, incremental)).identical).toBe(false);
  expect(await verifyBitmap(disk, 'c1', incremental)).toMatchObject({
    covered: false,
    missing: [{ offset: 1 << 20, length: 65536 }],
    sharedImages: [],
  });
});

test('the image itself is refused under any name', async () => {
  await expectRefused(disk, /the image to compare it with is this image itself/);
  await expectRefused(`file:${disk}`, /is this image itself/);
});

test('an image with the disk further down in its chain is refused', async () => {
  await expectRefused(await overlayOn(await overlayOn(disk, 'one.qcow2'), 'two.qcow2'), /two\.qcow2 is read/);
});

test('images that read the data file of the disk are refused, and so is the data file', async () => {
  const data = at('disk.data');
  disk = at('external.qcow2');
  const options = `data_file=${data},data_file_raw=on`;
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', options, disk, '4M');
  await qemuImg('bitmap', '--add', disk, 'c1');
  const copy = at('copy.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${data}`, copy, '4M');
  await expectRefused(copy, /through .*external\.qcow2 itself, or through its data file/);
  await expectRefused(data, /through its data file/);
});

test('an image below both is named, because the comparison does not show a write to it', async () => {
  const overlay = await overlayOn(disk, 'overlay.qcow2');
  await qemuIo(overlay, 'write -P 3 3M 64k');
  const args = ['verify', overlay, '#ALLOCATED', '--against', disk];
  expect(await bitmapToolJson(...args)).toMatchObject({ covered: true, sharedImages: [disk] });
  const line = `Both disks share ${disk}: the comparison shows no write to it.`;
  expect((await bitmapTool(...args)).stdout).toContain(line);

  const before = await overlayOn(disk, 'before.qcow2');
  const compare = ['create-from', '--compare', before, '--name', 'since', overlay];
  expect((await bitmapTool(...compare, '--dry-run')).stdout).toContain(line);
  expect(await bitmapToolJson(...compare)).toMatchObject({
    sharedImages: [disk],
    bitmaps: [{ dirtyBytes: 65536 }],
  });
});

test('a missing backing image prevents only a comparison that needs it', async () => {
  const gone = await overlayOn(full, 'gone.qcow2');
  const against = await overlayOn(gone, 'whole.qcow2');
  await qemuImg('rebase', '-u', '-b', at('missing.qcow2'), '-F', 'qcow2', against);
  await expect(verifyBitmap(disk, 'c1', against)).rejects.toMatchObject({ code: 'BROKEN_CHAIN' });
  await qemuIo(
    `json:{"driver":"qcow2","file":{"driver":"file","filename":"${against}"},"backing":null}`,
    'write -P 1 0 4M',
  );
  expect(await verifyBitmap(disk, 'c1', against)).toMatchObject({ sharedImages: [] });
});
