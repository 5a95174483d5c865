/**
 * Damage after which libvirt would accept a checkpoint although its bitmaps lack changes. No repair and no advice may lead to
 * this state.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import type { CheckResult } from '../../../src/index.ts';
import type { AsJson } from '../../support/as-json.ts';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { crashOn } from '../../support/crash.ts';
import { digest } from '../../support/file-state.ts';
import { qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { AUTOCLEAR_LOWEST_BYTE, setByte } from '../../support/set-byte.ts';
import { EditedImage } from '../../unit/image/edited-image.ts';

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

async function check(image: string): Promise<AsJson<CheckResult>['disks'][number]> {
  const { json, stderr } = await bitmapTool('check', '--json', image);
  expect(json, stderr).toBeDefined();
  return (json as AsJson<CheckResult>).disks[0]!;
}

test('a bitmap that shares clusters with the disk is not valid', async () => {
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

test('a bitmap of the origin with an impossible granularity keeps its name', async () => {
  const { top, base } = await goodChain();
  await edit(base, (image) => image.changeEntry(0, { granularityBits: 40 }));
  expect(await bitmapTool('repair', '--directory', base)).toMatchObject({ exitCode: 0, stderr: '' });
  const [c1] = (await check(top)).checkpoints;
  expect(c1).toMatchObject({ libvirt: 'refuses', bitmaps: [{ state: 'good' }, { state: 'in-use' }] });
});

test('a bitmap with an empty or unreadable name is listed with these words', async () => {
  const { base } = await goodChain();
  await edit(base, (image) => image.changeEntry(0, { name: new Uint8Array(0), granularityBits: 40 }));
  const { stdout } = await bitmapTool('repair', '--directory', base);
  expect(stdout).toMatch(/^ {2}\((empty|unreadable) name\): /m);
  expect(stdout).not.toMatch(/^ {2}: /m);
});

test('dropping a whole directory prints a warning, because no later check would notice it', async () => {
  const { top, base } = await goodChain();
  await edit(base, (image) => image.setExtension({ offset: 2 ** 30 }));
  const { exitCode, stderr } = await bitmapTool('repair', '--directory', base);
  expect({ exitCode, stderr }).toMatchObject({
    exitCode: 0,
    stderr: expect.stringContaining(`--name NAME --origin ${base} ACTIVE_IMAGE`),
  });
  expect(await bitmapTool('repair', '--name', 'c1', '--origin', base, top)).toMatchObject({ exitCode: 0 });
  expect((await check(top)).checkpoints[0]).toMatchObject({ valid: true, bitmaps: [{}, { state: 'good' }] });
});

test('no hint lets QEMU drop outdated bitmaps without a warning about the checkpoints that began there', async () => {
  const { top, base } = await goodChain();
  await setByte(base, AUTOCLEAR_LOWEST_BYTE, 0);
  const hints = (await check(top)).images.flatMap(({ problems }) => problems.map(({ hint }) => hint));
  expect(hints.join('\n')).not.toContain('frees them, as does "qemu-img check');
  await setByte(base, AUTOCLEAR_LOWEST_BYTE, 1);
  await qemuImg('amend', '-f', 'qcow2', '-o', 'compat=0.10', base);
  const refused = await bitmapTool('repair', '--name', 'c1', '--rebuild-origin', top);
  expect(refused).toMatchObject({
    exitCode: 4,
    stderr: expect.stringContaining(`That drops its outdated bitmaps`),
  });
});

test('an origin that the user names is never ignored, and its repair is reported', async () => {
  const { top, base } = await goodChain();
  await qemuImg('bitmap', '--remove', base, 'c1');
  const unused = await bitmapTool('repair', '--origin', base, top);
  expect(unused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--name') });
  const { stdout } = await bitmapTool('repair', '--name', 'c1', '--origin', base, top);
  expect(stdout).toContain('valid again: c1');
});

test('a base that one chain would write and another chain reads is refused before any write', async () => {
  const { top, base } = await goodChain();
  await qemuImg('bitmap', '--disable', base, 'c1');
  const other = join(dirname(top), 'other.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', other);
  const xml = join(dirname(top), 'c1.xml');
  await writeFile(
    xml,
    `<domaincheckpoint><name>c1</name><creationTime>1</creationTime><disks><disk name='vda'/><disk name='vdb' checkpoint='no'/></disks></domaincheckpoint>`,
  );
  const disks = ['--disk', 'vda', '--disk', 'vdb', top, other];
  const { exitCode, error } = await bitmapTool(
    'repair',
    '--json',
    '--enable-disabled',
    '--checkpoints',
    xml,
    ...disks,
  );
  expect({ exitCode, error }).toMatchObject({ exitCode: 4, error: { code: 'UNSUPPORTED', file: base } });
});

test('a checkpoint on file counts if the chain has its bitmap and only the path has changed', async () => {
  const { top, base } = await goodChain();
  await qemuImg('bitmap', '--add', '--disable', top, 'c2');
  const files = await Promise.all([
    writeCheckpoint(dirname(top), 'c1', base),
    writeCheckpoint(dirname(top), 'c2', '/moved/top.qcow2'),
  ]);
  const args = ['--json', '--checkpoints', files[0]!, '--checkpoints', files[1]!, top];
  const { exitCode, json } = await bitmapTool('check', ...args);
  expect(exitCode).toBe(3);
  expect((json as CheckResult).disks[0]!.checkpoints[1]).toMatchObject({ name: 'c2', valid: false });
  expect((await bitmapTool('repair', ...args)).error).toMatchObject({ code: 'NEEDS_CONSENT', file: top });
  const result = await bitmapTool('check', '--disk', 'vda', ...args);
  expect(result).toMatchObject({ exitCode: 3, stderr: '' });
});

test('a parent that was created again after a crash does not limit a child that is in use', async () => {
  const { base } = await goodChain();
  await qemuImg('bitmap', '--add', base, 'c2');
  await crashOn(base, 'write -q 4M 64k');
  // This is often tried, because QEMU only allows to remove it.
  await qemuImg('bitmap', '--remove', base, 'c1');
  await qemuImg('bitmap', '--add', base, 'c1');
  const files = await Promise.all([
    writeCheckpoint(dirname(base), 'c1', base),
    writeCheckpoint(dirname(base), 'c2', base, 'c1'),
  ]);
  const args = ['--checkpoints', files[0]!, '--checkpoints', files[1]!, '--rebuild-origin', base];
  expect(await bitmapTool('repair', ...args)).toMatchObject({ exitCode: 0 });
  const extents = (await dirtyExtents(base, 'c2')).filter(({ type }) => type === 1);
  const marked = extents.map(({ offset, length }) => [offset, length]);
  expect(marked).toEqual([
    [0, 2 << 20],
    [4 << 20, 64 << 10],
  ]);
});

async function writeCheckpoint(
  folder: string,
  name: string,
  source: string,
  parent?: string,
): Promise<string> {
  const path = join(folder, `${name}.xml`);
  const ancestry = parent === undefined ? '' : `<parent><name>${parent}</name></parent>`;
  const disk = `<disk><source file='${source}'/><target dev='vda'/></disk>`;
  await writeFile(
    path,
    `<domaincheckpoint><name>${name}</name>${ancestry}<creationTime>1</creationTime><disks><disk name='vda'/></disks><domain><devices>${disk}</devices></domain></domaincheckpoint>`,
  );
  return path;
}
