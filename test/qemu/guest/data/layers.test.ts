/** The place of a layer's data: external data files, short backing images, subclusters, encryption. */
import { rename, truncate } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runProgram } from '../../../support/external-program.ts';
import { firstDifference, qemuGuestDisk, readGuestDisk } from '../../../support/guest-disk.ts';
import { encryptionOptions, imageName, qemuImg, qemuIo } from '../../../support/qemu.ts';
import { scratchFolder } from '../../../support/scratch.ts';

async function expectAsQemu(image: string): Promise<void> {
  expect(firstDifference(await readGuestDisk(image), await qemuGuestDisk(image))).toBeUndefined();
}

describe('an external data file', () => {
  test('with an absolute name is read', async () => {
    const folder = await scratchFolder();
    const image = join(folder, 'disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${image}.data`, image, '1M');
    await qemuIo(image, 'write -P 7 100k 300k', 'write -z 200k 64k');
    await expectAsQemu(image);
  });

  test('with a relative name is looked up in the current folder, as QEMU does', async () => {
    const folder = await scratchFolder();
    const image = join(folder, 'disk.qcow2');
    const name = relative(process.cwd(), join(folder, 'disk.data'));
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${name}`, image, '1M');
    await qemuIo(image, 'write -P 7 100k 300k');
    await expectAsQemu(image);
  });

  test('next to the image is not found from another folder, as by QEMU', async () => {
    const folder = await scratchFolder();
    const image = join(folder, 'disk.qcow2');
    const args = ['create', '-q', '-f', 'qcow2', '-o', 'data_file=beside.data', 'disk.qcow2', '1M'];
    await runProgram('qemu-img', args, { cwd: folder });
    await runProgram('qemu-io', ['-c', 'write -P 7 0 64k', 'disk.qcow2'], { cwd: folder });
    await expect(qemuGuestDisk(image)).rejects.toThrow('beside.data');
    await expect(readGuestDisk(image)).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringContaining('beside.data'),
    });
  });

  test('is not needed if the image holds no data', async () => {
    const folder = await scratchFolder();
    const image = join(folder, 'disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${image}.data`, image, '1M');
    await qemuIo(image, 'write -z 0 64k');
    await rename(`${image}.data`, `${image}.gone`);
    expect(firstDifference(await readGuestDisk(image), Buffer.alloc(1 << 20))).toBeUndefined();
  });
});

test('a guest reads zeros beyond the end of a shorter backing image', async () => {
  const folder = await scratchFolder();
  const [base, middle, top] = ['base', 'middle', 'top'].map((name) => join(folder, `${name}.qcow2`));
  await qemuImg('create', '-q', '-f', 'qcow2', base!, '1M');
  await qemuIo(base!, 'write -P 1 0 1M');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base!, '-F', 'qcow2', middle!, '333k');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', middle!, '-F', 'qcow2', top!, '2M');
  await qemuIo(top!, 'write -P 2 1536k 10k');
  await expectAsQemu(top!);
});

test('a raw file that ends within a sector continues as zeros', async () => {
  const folder = await scratchFolder();
  const raw = join(folder, 'disk.raw');
  await runProgram('qemu-img', ['create', '-q', '-f', 'raw', raw, '1M']);
  await qemuIo(`json:{"driver":"raw","file":{"driver":"file","filename":"${raw}"}}`, 'write -P 3 0 1M');
  await truncate(raw, 1_000_001);
  const disk = await readGuestDisk(raw);
  expect(disk.length).toBe(1_000_448);
  expect(disk.equals(Buffer.concat([Buffer.alloc(1_000_001, 3), Buffer.alloc(447)]))).toBe(true);
});

test('subclusters of one cluster can hold data, zeros and backing data', async () => {
  const folder = await scratchFolder();
  const [base, top] = [join(folder, 'base.raw'), join(folder, 'top.qcow2')];
  await qemuImg('create', '-q', '-f', 'raw', base, '1M');
  await qemuIo(`json:{"driver":"raw","file":{"driver":"file","filename":"${base}"}}`, 'write -P 9 0 1M');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'extended_l2=on', '-b', base, '-F', 'raw', top);
  await qemuIo(top, 'write -P 1 2k 2k', 'write -z 8k 4k', 'write -P 2 20k 6k', 'write -z -u 128k 64k');
  await expectAsQemu(top);
});

test('encrypted data is refused only when it is needed', async () => {
  const folder = await scratchFolder();
  const image = join(folder, 'disk.qcow2');
  const created = encryptionOptions('aes').join(',');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', created, image, '1M');
  expect(firstDifference(await readGuestDisk(image), Buffer.alloc(1 << 20))).toBeUndefined();
  await qemuIo(imageName({ path: image, format: 'qcow2', encrypted: true }), 'write -P 7 0 64k');
  await expect(readGuestDisk(image)).rejects.toMatchObject({
    code: 'UNSUPPORTED',
    message: expect.stringContaining('aes'),
  });
});
