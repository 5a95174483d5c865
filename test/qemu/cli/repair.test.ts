/** The output and the refusals of `repair`. Other tests let QEMU and libvirt judge the bitmaps. */
import { open, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { RepairResult } from '../../../src/index.ts';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { digest } from '../../support/file-state.ts';
import { holdOpen } from '../../support/hold-open.ts';
import { growLoopDevice, loopDevice } from '../../support/loop-device.ts';
import { qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { brokenChain, check, crash, overlay, problemCodes } from './broken-chain.ts';

const MIB = 1 << 20;

async function digests(images: readonly string[]): Promise<string[]> {
  return Promise.all(images.map(digest));
}

describe('repair', () => {
  test('refuses what needs consent, reports its cost, and does it with consent', async () => {
    const [top, middle, base] = await brokenChain(await scratchFolder(), '');
    await qemuImg('bitmap', '--disable', middle!, 'c1');
    await crash(base!);
    const before = await digests([top!, middle!, base!]);
    const args = ['repair', '--json', '--name', 'c1', top!];
    const { exitCode, error } = await bitmapTool(...args);
    expect({ exitCode, error }).toMatchObject({
      exitCode: 4,
      error: { code: 'NEEDS_CONSENT', consents: ['--enable-disabled', '--rebuild-origin'] },
    });
    expect(error!.message).toContain('1.1 MiB of 8 MiB');
    expect(await digests([top!, middle!, base!])).toEqual(before);
    const consents = ['--enable-disabled', '--rebuild-origin'];
    expect(await bitmapTool(...args, ...consents)).toMatchObject({ exitCode: 0 });
    expect((await check(top!)).healthy).toBe(true);
  });

  test('does not repair a checkpoint whose top bitmap is not valid, unless it is named', async () => {
    const [, , base] = await brokenChain(await scratchFolder(), '');
    await crash(base!);
    const { exitCode, stderr } = await bitmapTool('repair', base!);
    expect(exitCode).toBe(3);
    expect(stderr).toContain('"c1" was not repaired');
    expect(await qemuBitmaps(base!)).toMatchObject([{ name: 'c1', flags: ['in-use', 'auto'] }]);
  });

  test('makes a checkpoint without any bitmap from the image that the user names', async () => {
    const [top, middle, base] = await brokenChain(await scratchFolder(), '');
    const lost = await bitmapTool('repair', '--name', 'c9', top!);
    expect(lost).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('--origin IMAGE') });
    expect(await bitmapTool('repair', '--name', 'c9', '--origin', middle!, top!)).toMatchObject({
      exitCode: 0,
    });
    expect((await qemuBitmaps(middle!)).map(({ name }) => name)).toEqual(['c1', 'c9']);
    expect((await qemuBitmaps(base!)).map(({ name }) => name)).toEqual(['c1']);
    const higher = await bitmapTool('repair', '--name', 'c1', '--origin', middle!, top!);
    expect(higher).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('at least as old') });
  });

  test.each([
    ['names a job uses', ['--name', 'libvirt-tmp-x'], 'UNSUPPORTED'],
    ['images that are not in the chain', ['--name', 'c9', '--origin', 'OTHER'], 'USAGE'],
    ['--disk without --checkpoints', ['--disk', 'vda'], 'USAGE'],
    ['--force-share', ['-U'], 'USAGE'],
    ['--directory with options about checkpoints', ['--directory', '--name', 'c1'], 'USAGE'],
  ])('refuses %s', async (_what, options, code) => {
    const folder = await scratchFolder();
    const [top] = await brokenChain(folder, '');
    const other = join(folder, 'other.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', other, '1M');
    const args = options.map((word) => (word === 'OTHER' ? other : word));
    const { error } = await bitmapTool('repair', '--json', ...args, top!);
    expect(error?.code).toBe(code);
  });

  test('refuses a whole chain if an image cannot hold bitmaps or has another size', async () => {
    const folder = await scratchFolder();
    const [top, middle, base] = await brokenChain(folder, '');
    const old = join(folder, 'old.qcow2');
    await overlay(old, top!, '-o', 'compat=0.10');
    const newest = join(folder, 'newest.qcow2');
    await overlay(newest, old);
    const larger = join(folder, 'larger.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', top!, '-F', 'qcow2', larger, '9M');
    const chain = [newest, larger, old, top!, middle!, base!];
    const before = await digests(chain);
    for (const [image, code, hint] of [
      [newest, 'UNSUPPORTED', 'amend'],
      [larger, 'SIZE_MISMATCH', 'resize'],
    ]) {
      const { exitCode, stderr } = await bitmapTool('repair', '--json', image!);
      expect({ exitCode, stderr }).toEqual({ exitCode: 4, stderr: expect.stringContaining(code!) });
      expect(stderr).toContain(hint);
    }
    expect(await digests(chain)).toEqual(before);
  });

  test('writes nothing in a dry run, and shows all steps', async () => {
    const chain = await brokenChain(await scratchFolder(), '');
    const before = await digests(chain);
    const { json, exitCode } = await bitmapTool('repair', '--dry-run', '--json', chain[0]!);
    expect(exitCode).toBe(0);
    const { disks } = json as RepairResult;
    expect(disks[0]!.images[0]!.plan!.steps!.length).toBeGreaterThan(4);
    expect(await digests(chain)).toEqual(before);
  });

  test('refuses a whole chain if an image is in use, and names the program', async () => {
    const chain = await brokenChain(await scratchFolder(), '');
    const before = await digests(chain);
    const pid = await holdOpen(chain[0]!, '-r');
    const { exitCode, stderr } = await bitmapTool('repair', chain[0]!);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 5,
      stderr: expect.stringContaining(`qemu-io (pid ${pid})`),
    });
    expect(await digests(chain)).toEqual(before);
  });
});

describe('several disks', () => {
  test('are all repaired', async () => {
    const folder = await scratchFolder();
    const [vda, vdb] = [await brokenChain(folder, 'a-'), await brokenChain(folder, 'b-')];
    expect(await bitmapTool('repair', vda[0]!, vdb[0]!)).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await bitmapTool('check', vda[0]!, vdb[0]!)).toMatchObject({ exitCode: 0, stderr: '' });
  });

  test('are not written if one of them cannot be repaired', async () => {
    const folder = await scratchFolder();
    const [vda, vdb] = [await brokenChain(folder, 'a-'), await brokenChain(folder, 'b-')];
    await crash(vdb[2]!);
    const before = await digests([...vda, ...vdb]);
    expect((await bitmapTool('repair', vda[0]!, vdb[0]!)).exitCode).toBe(4);
    await holdOpen(vdb[0]!);
    expect((await bitmapTool('repair', '--rebuild-origin', vda[0]!, vdb[0]!)).exitCode).toBe(5);
    expect((await digests(vda)).concat(before.slice(3))).toEqual(before);
  });

  test('must be repaired one after another if they share an image that would be written', async () => {
    const folder = await scratchFolder();
    const [top, middle] = await brokenChain(folder, '');
    const other = join(folder, 'other.qcow2');
    await overlay(other, middle!);
    await qemuImg('bitmap', '--remove', middle!, 'c1');
    const { exitCode, stderr } = await bitmapTool('repair', top!, other);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 4,
      stderr: expect.stringContaining('one after another'),
    });
    for (const image of [top!, other]) expect((await bitmapTool('repair', image)).exitCode).toBe(0);
  });
});

test('the space on all volumes that cannot grow is checked before the first write', async () => {
  const folder = await scratchFolder();
  const files = ['base', 'middle', 'top'].map((name) => join(folder, `${name}.lv`));
  const devices: string[] = [];
  for (const [index, file] of files.entries()) {
    await truncate(await touched(file), (index === 2 ? 7 : 20) * (MIB / 16));
    const device = await loopDevice(file);
    const backing = devices.at(-1);
    const below = backing === undefined ? [] : ['-b', backing, '-F', 'qcow2'];
    await qemuImg('create', '-q', '-f', 'qcow2', ...below, device, '8M');
    await qemuIo(device, index === 2 ? 'write -q 2M 4k' : 'write -q 1M 64k');
    devices.push(device);
  }
  const [base, middle, top] = devices;
  await qemuImg('bitmap', '--add', base!, 'c1');
  const before = await digests(devices);
  const { exitCode, error } = await bitmapTool('repair', '--json', top!);
  expect({ exitCode, error }).toMatchObject({ exitCode: 4, error: { code: 'NO_ROOM', file: top } });
  expect(await digests(devices)).toEqual(before);

  const { neededBytes } = error as unknown as { neededBytes: number };
  await truncate(files[2]!, neededBytes);
  await growLoopDevice(top!);
  expect(await bitmapTool('repair', top!)).toMatchObject({ exitCode: 0, stderr: '' });
  for (const device of [middle!, top!]) {
    expect(await qemuCheck(device)).toMatchObject({ exitCode: 0 });
    expect(await qemuBitmaps(device)).toMatchObject([{ name: 'c1', flags: ['auto'] }]);
  }
});

async function touched(path: string): Promise<string> {
  await (await open(path, 'w')).close();
  return path;
}

describe('checkpoints on file', () => {
  async function lostOrigin(): Promise<{ top: string; base: string; xml: string }> {
    const folder = await scratchFolder();
    const [top, , base] = await brokenChain(folder, '');
    await bitmapTool('repair', top!);
    await qemuImg('bitmap', '--remove', base!, 'c1');
    const xml = join(folder, 'c1.xml');
    const disks = `<disks><disk name='vda' checkpoint='bitmap' bitmap='c1'/></disks>`;
    const source = `<disk type='file' device='disk'><source file='${base}'/><target dev='vda'/></disk>`;
    const domain = `<domain type='qemu'><devices>${source}</devices></domain>`;
    await writeFile(
      xml,
      `<domaincheckpoint><name>c1</name><creationTime>1700000000</creationTime>${disks}${domain}</domaincheckpoint>`,
    );
    return { top: top!, base: base!, xml };
  }

  test('show that the origin has lost its bitmap, which nothing else shows', async () => {
    const { top, xml } = await lostOrigin();
    expect((await check(top)).healthy).toBe(true);
    const result = await check(top, '--checkpoints', xml);
    expect(problemCodes(result)).toEqual(['bitmap-lost']);
    const { advice, libvirt } = result.disks[0]!.checkpoints[0]!;
    expect({ advice, libvirt }).toEqual({
      advice: `bitmap-tool repair --rebuild-origin --checkpoints ${xml} ${top}`,
      libvirt: 'accepts',
    });
    expect(await bitmapTool(...advice!.split(' ').slice(1))).toMatchObject({ exitCode: 0 });
    expect((await check(top, '--checkpoints', xml)).healthy).toBe(true);
  });

  test('do not prove the origin by its path, because an overlay may have taken that path', async () => {
    const { top, base, xml } = await lostOrigin();
    await qemuImg('bitmap', '--remove', top, 'c1');
    await rename(base, `${base}.old`);
    await overlay(base, `${base}.old`);
    const { advice } = (await check(base, '--checkpoints', xml)).disks[0]!.checkpoints[0]!;
    expect(advice).toBe(`bitmap-tool repair --name c1 --origin IMAGE --checkpoints ${xml} ${base}`);
    expect(await bitmapTool('repair', '--checkpoints', xml, base)).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining('If an overlay has taken that path since'),
    });
    const origin = ['--name', 'c1', '--origin', `${base}.old`];
    expect(await bitmapTool('repair', '--checkpoints', xml, ...origin, base)).toMatchObject({ exitCode: 0 });
    expect(await qemuBitmaps(`${base}.old`)).toMatchObject([{ name: 'c1' }]);
  });

  test('allow the repair of a lost origin only with consent', async () => {
    const { top, base, xml } = await lostOrigin();
    const args = ['repair', '--json', '--checkpoints', xml, top];
    expect((await bitmapTool(...args)).error).toMatchObject({
      code: 'NEEDS_CONSENT',
      consents: ['--rebuild-origin'],
    });
    expect(await bitmapTool(...args, '--rebuild-origin')).toMatchObject({ exitCode: 0 });
    expect(await qemuBitmaps(base)).toMatchObject([{ name: 'c1' }]);
  });
});
