/** A call in a hint does what the hint says, pasted into a shell as it is. */
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { beforeEach, expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { putCheckpoint } from '../../support/checkpoint-file.ts';
import { crashOn } from '../../support/crash.ts';
import { holdOpen } from '../../support/hold-open.ts';
import { qemuBitmaps, qemuImg, qemuIo } from '../../support/qemu.ts';
import { qcow2Nodes, startQemu } from '../../support/running-qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { AUTOCLEAR_LOWEST_BYTE, setByte } from '../../support/set-byte.ts';

let folder: string;
let disk: string;
let bin: string;

/** The checkpoint c1 began in the only image, which has changed since. */
beforeEach(async () => {
  folder = await scratchFolder();
  disk = join(folder, 'disk.qcow2');
  bin = join(folder, 'bin');
  await mkdir(bin);
  const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
  await symlink(program, join(bin, 'bitmap-tool'));
  await newDisk(disk);
});

async function newDisk(path: string): Promise<void> {
  await qemuImg('create', '-q', '-f', 'qcow2', path, '8M');
  await qemuIo(path, 'write -q 0 1M');
  await qemuImg('bitmap', '--add', path, 'c1');
  await qemuIo(path, 'write -q 1M 64k');
}

const makeStale = (path: string) => setByte(path, AUTOCLEAR_LOWEST_BYTE, 0);
const disable = (path: string) => qemuImg('bitmap', '--disable', path, 'c1');

/** The calls of a hint: in quotes, or at the end. */
function callsOf(text: string): string[] {
  const calls = text.matchAll(/"(bitmap-tool [^"]*)"|: (bitmap-tool .*)$/gm);
  return Array.from(calls, ([, quoted, last]) => quoted ?? last!);
}

async function paste(call: string): Promise<{ exitCode: number | undefined; all: string }> {
  const env = { PATH: `${bin}:${process.env['PATH']}`, NO_COLOR: '1' };
  const { exitCode, all } = await execa('bash', ['-c', call], {
    reject: false,
    all: true,
    stdin: 'ignore',
    env,
  });
  return { exitCode, all };
}

test.each([
  ['outdated', makeStale],
  ['in use after a crash', (path: string) => crashOn(path)],
  ['disabled', disable],
])('repair repeats its own call with the missing consent, for a bitmap that is %s', async (_what, damage) => {
  await damage(disk);
  const { exitCode, stderr } = await bitmapTool('repair', '--name', 'c1', disk);
  expect(exitCode).toBe(4);
  expect(stderr).not.toMatch(/NAME|IMAGE|TOP/);
  const [agree, compare, ...more] = callsOf(stderr);
  expect(more).toEqual([]);
  expect(compare).toBe(`bitmap-tool repair --name c1 --against BACKUP ${disk}`);
  expect(await paste(agree!)).toMatchObject({ exitCode: 0, all: expect.stringContaining('valid again: c1') });
});

test('repair offers a comparison with the backup that needs no other consent', async () => {
  const backup = join(folder, 'backup.qcow2');
  await qemuImg('convert', '-O', 'qcow2', disk, backup);
  await disable(disk);
  const { stderr } = await bitmapTool('repair', '--name', 'c1', disk);
  const { exitCode, all } = await paste(callsOf(stderr)[1]!.replace('BACKUP', backup));
  expect({ exitCode, all }).toMatchObject({ exitCode: 0, all: expect.stringContaining('valid again: c1') });
});

test('the hints of repair name the checkpoints on file, the disks, and what it can do without consent', async () => {
  const checkpoints = join(folder, 'check points');
  const other = join(folder, 'other.qcow2');
  await mkdir(checkpoints);
  await newDisk(other);
  const tops = [join(folder, 'vda.s1'), join(folder, 'vdb.s1')] as const;
  for (const [index, base] of [disk, other].entries()) {
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', tops[index]!);
    for (const name of ['c2', 'c3']) await qemuImg('bitmap', '--add', tops[index]!, name);
    await qemuImg('bitmap', '--add', base, 'c2');
  }
  await putCheckpoint(checkpoints, 'c1', { disks: { vda: [disk], vdb: [other] } });
  await putCheckpoint(checkpoints, 'c2', { parent: 'c1', disks: { vda: [disk], vdb: [other] } });
  await putCheckpoint(checkpoints, 'c3', {
    parent: 'c2',
    disks: { vda: [tops[0], disk], vdb: [tops[1], other] },
  });
  await qemuImg('bitmap', '--disable', tops[1], 'c3');
  const target = `--checkpoints '${checkpoints}' --disk vda --disk vdb ${tops.join(' ')}`;
  const words = ['--checkpoints', checkpoints, '--disk', 'vda', '--disk', 'vdb', ...tops];
  const { stderr } = await bitmapTool('repair', ...words);
  const calls = callsOf(stderr);
  expect(calls).toEqual([
    `bitmap-tool repair --enable-disabled ${target}`,
    `bitmap-tool repair --name c3 --against BACKUP --against BACKUP ${target}`,
    `bitmap-tool repair --name c1 ${target}`,
  ]);
  expect((await paste(calls[2]!)).all).toContain(`${tops[1]}: valid again: c1\n`);
  expect((await paste(calls[0]!)).all).toContain(`${tops[1]}: valid again: c3\n`);
});

test('check removes a bitmap in use that no known checkpoint has', async () => {
  await putCheckpoint(folder, 'c1', { disks: { vda: [disk] } });
  await qemuImg('bitmap', '--add', disk, "left it's");
  await crashOn(disk);
  const { stdout } = await bitmapTool('check', '--checkpoints', join(folder, 'c1.xml'), disk);
  const [remove] = callsOf(stdout);
  expect(remove).toBe(`bitmap-tool remove ${disk} 'left it'\\''s'`);
  expect(await paste(remove!)).toMatchObject({ exitCode: 0 });
  expect((await qemuBitmaps(disk)).map(({ name }) => name)).toEqual(['c1']);
});

test('a name with control characters is written so that a shell takes it', async () => {
  const name = "a\nb 'c'";
  await qemuImg('bitmap', '--add', disk, name);
  const { stderr } = await bitmapTool('add', disk, name);
  const [remove] = callsOf(stderr);
  expect(await paste(remove!)).toMatchObject({ exitCode: 0 });
  expect((await qemuBitmaps(disk)).map((bitmap) => bitmap.name)).toEqual(['c1']);
});

test('check advises to resize an image before the repair of the disks, which is refused until then', async () => {
  const other = join(folder, 'other.qcow2');
  await newDisk(other);
  const [top, small] = [join(folder, 'top.qcow2'), join(folder, 'small.qcow2')];
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', disk, '-F', 'qcow2', top);
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', other, '-F', 'qcow2', small);
  await qemuImg('bitmap', '--add', small, 'c1');
  await qemuImg('resize', '-q', small, '9M');
  const { stdout } = await bitmapTool('check', top, small);
  const advice = Array.from(stdout.matchAll(/^→ (.*)$/gm), ([, call]) => call!);
  expect(advice).toEqual([`qemu-img resize ${other} ${9 * 2 ** 20}`, `bitmap-tool repair ${top} ${small}`]);
  for (const call of advice) expect(await paste(call)).toMatchObject({ exitCode: 0 });
  expect(await bitmapTool('check', top, small)).toMatchObject({ exitCode: 0 });
});

test('hints about images in a running QEMU name its monitor', async () => {
  const { socket, bitmaps, stop } = await startQemu(qcow2Nodes('disk', disk));
  const [remove] = callsOf((await bitmapTool('add', '--qmp', socket, disk, 'c1')).stderr);
  expect(remove).toBe(`bitmap-tool remove --qmp ${socket} ${disk} c1`);
  expect(await paste(remove!)).toMatchObject({ exitCode: 0 });
  expect(await bitmaps('disk')).toEqual({});

  const { exitCode, stderr } = await bitmapTool('add', disk, 'c2');
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('--qmp') });
  expect(await bitmapTool('add', '--qmp', socket, disk, 'c2')).toMatchObject({ exitCode: 0 });
  const map = await bitmapTool('map', disk);
  expect(map).toMatchObject({ exitCode: 5, stderr: expect.not.stringContaining('--qmp') });

  expect((await bitmapTool('repair', '--qmp', socket, '--name', 'c9', disk)).stderr).toContain(
    '--origin IMAGE',
  );
  await stop();
});

test('the comparison with a backup is offered for the time after the QEMU has ended', async () => {
  await disable(disk);
  const backup = join(folder, 'backup.qcow2');
  await qemuImg('convert', '-O', 'qcow2', disk, backup);
  const { socket, stop } = await startQemu(qcow2Nodes('disk', disk));
  const { stderr } = await bitmapTool('repair', '--qmp', socket, '--name', 'c1', disk);
  expect(stderr).toContain('Or shut the guest down and compare');
  const [agree, compare] = callsOf(stderr);
  expect(agree).toBe(`bitmap-tool repair --name c1 --enable-disabled --qmp ${socket} ${disk}`);
  await stop();
  expect(await paste(compare!.replace('BACKUP', backup))).toMatchObject({ exitCode: 0 });
});

/** A QEMU with an image and its base. */
const startOver = (base: string, top: string) =>
  startQemu([
    ...qcow2Nodes('base', base, { 'read-only': true }),
    ...qcow2Nodes('top', top, { backing: 'base' }),
  ]);

test('check of a running QEMU says that an image is resized while the guest is off', async () => {
  const top = join(folder, 'top.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', disk, '-F', 'qcow2', top);
  await qemuImg('bitmap', '--add', top, 'c1');
  await qemuImg('resize', '-q', top, '9M');
  const { socket, stop } = await startOver(disk, top);
  const { stdout } = await bitmapTool('check', '--qmp', socket, top);
  const [, resize] = /^→ (.*)$/m.exec(stdout)!;
  expect(resize).toBe(`qemu-img resize ${disk} ${9 * 2 ** 20}  # while the guest is off`);
  expect(await paste(resize!)).toMatchObject({ exitCode: 1 });
  await stop();
  expect(await paste(resize!)).toMatchObject({ exitCode: 0 });
});

test('check of a running QEMU says which repair needs the guest to be off', async () => {
  const [top, backup] = [join(folder, 'top.qcow2'), join(folder, 'backup.qcow2')];
  await qemuImg('convert', '-O', 'qcow2', disk, backup);
  await crashOn(disk);
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', disk, '-F', 'qcow2', top);
  const { socket, stop } = await startOver(disk, top);
  const { stdout } = await bitmapTool('check', '--qmp', socket, top);
  expect(stdout).toContain(`→ bitmap-tool repair --name c1 --rebuild-origin --qmp ${socket} ${top}\n`);
  const [, compare] = /: (bitmap-tool .*)$/m.exec(stdout)!;
  expect(compare).toBe(`bitmap-tool repair --name c1 --against BACKUP ${top}  # while the guest is off`);
  await stop();
  expect(await paste(compare!.replace('BACKUP', backup))).toMatchObject({ exitCode: 0 });
});

test('check advises the repair of an image below, at rest, before it is resized', async () => {
  const top = join(folder, 'top.qcow2');
  await crashOn(disk);
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', disk, '-F', 'qcow2', top);
  await qemuImg('bitmap', '--add', top, 'c1');
  await qemuImg('resize', '-q', top, '9M');
  const { socket, stop } = await startOver(disk, top);
  const { stdout } = await bitmapTool('check', '--qmp', socket, top);
  const [, repair] = /^→ (.*)$/m.exec(stdout)!;
  expect(repair).toBe(`bitmap-tool repair --name c1 --rebuild-origin ${disk}  # while the guest is off`);
  await stop();
  expect(await paste(repair!)).toMatchObject({ exitCode: 0 });
  const [, resize] = /^→ (.*)$/m.exec((await bitmapTool('check', top)).stdout)!;
  expect(await paste(resize!)).toMatchObject({ exitCode: 0 });
});

test('a hint that reads an image in use reads it in the same way', async () => {
  await holdOpen(disk);
  const { stderr } = await bitmapTool('checkpoint-xml', '-U', '--disk', 'vda', '-n', 'c9', disk);
  const [check] = callsOf(stderr);
  expect(check).toBe(`bitmap-tool check --force-share ${disk}`);
  expect((await paste(check!)).exitCode).not.toBe(5);
});
