/** Names that would control a terminal or forge a line of a log do not reach stdout or stderr unchanged. */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { patch, plainImage, u32, u64 } from './craft.ts';

const NASTY = '\x1b]0;title\x07\x1b[2J\r\nbitmap-tool: all is well\u009b31m\u202egnp\u2028end';
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

/** Runs a command in both forms of output. */
async function expectPlain(...args: string[]): Promise<void> {
  for (const form of [[], ['--json']]) {
    const { stdout, stderr } = await bitmapTool(...args, ...form);
    expect(`${stdout}\n${stderr}`).not.toMatch(CONTROL);
    expect(`${stdout}\n${stderr}`.split('\n')).not.toContain('bitmap-tool: all is well');
    expect(`${stdout}${stderr}`).not.toBe('');
  }
}

test('no command prints control characters of a bitmap name', async () => {
  const folder = await scratchFolder();
  const image = await plainImage(folder);
  await qemuImg('bitmap', '--add', image, NASTY);
  const overlay = join(folder, 'overlay.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay);
  for (const args of [
    ['list', '--chain', overlay],
    ['dump', image, NASTY],
    ['dump', image, `${NASTY}?`],
    ['create-from', '--allocated', '--dry-run', overlay],
    ['create-from', '--allocated', overlay],
    ['create-from', '--allocated', overlay],
    ['create-from', '--allocated', '-n', NASTY, overlay],
    ['measure', '--allocated', '-n', `${NASTY}2`, overlay],
    ['verify', image, NASTY, '--against', overlay],
    ['merge', image, NASTY, '#ALLOCATED'],
    ['disable', image, NASTY],
    ['clear', image, NASTY],
    ['remove', image, `${NASTY}?`],
    ['remove', image, NASTY],
  ]) {
    await expectPlain(...args);
  }
});

test('no command prints control characters of an image name or a backing file name', async () => {
  const folder = await scratchFolder();
  const base = join(folder, NASTY.replaceAll('/', ''));
  await rename(await plainImage(folder), base);
  const overlay = join(folder, 'overlay.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', `./${NASTY}`, '-F', 'qcow2', overlay);
  const broken = join(folder, 'broken.qcow2');
  await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', `./${NASTY}?`, '-F', 'qcow2', broken, '1M');
  for (const image of [base, overlay, broken]) {
    await expectPlain('list', '--chain', image);
    await expectPlain('map', image);
    await expectPlain('create-from', '--allocated', '--dry-run', image);
    await expectPlain('verify', image, 'none', '--against', base);
  }
});

test('no command prints control characters of a feature name, a data file name or a backing format', async () => {
  const folder = await scratchFolder();
  const image = await plainImage(folder);
  const featureName = Buffer.alloc(46);
  featureName.write('\x1b[2J\nbitmap-tool: all is well');
  await patch(image, 72, u64(1n << 40n));
  const table = Buffer.concat([u32(0x6803f857, 48), Buffer.from([0, 40]), featureName, u64(0)]);
  await patch(image, 104 + 8, table);
  await expectPlain('list', image);

  const other = await scratchFolder();
  const data = join(other, 'data.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${join(other, 'raw')}`, data, '1M');
  await patch(
    data,
    112,
    Buffer.concat([u32(0x44415441, 24), Buffer.from('\x1b[2J\nbitmap-tool: all \x9b'), u64(0)]),
  );
  await expectPlain('verify', data, '#ALLOCATED', '--against', image);
  const overlay = join(other, 'overlay.qcow2');
  await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', data, '-F', 'qcow2', overlay, '1M');
  const at = 112 + 8;
  await patch(overlay, at, Buffer.from('\x1b[2J\n'));
  await expectPlain('list', '--chain', overlay);
});
