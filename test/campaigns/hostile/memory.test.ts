/**
 * Memory has a limit, whatever an image claims. A real process reads a small file with the largest possible bitmaps, and the
 * kernel measures its peak.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { directoryAt, patch, u64 } from './craft.ts';

const program = fileURLToPath(new URL('../../../bin/bitmap-tool.js', import.meta.url));
const MIB = 2 ** 20;
/** As docs/guarantees.md promises: five of the largest bitmaps that QEMU stores. */
const BOUND_MIB = 2560;
const NAMES = ['m0', 'm1', 'm2'];

interface Run {
  readonly exitCode: number | undefined;
  readonly stderr: string;
  readonly peakMiB: number;
}

async function run(folder: string, ...args: string[]): Promise<Run> {
  const [hook, file] = [join(folder, 'peak.cjs'), join(folder, 'peak')];
  const write = `require('node:fs').writeFileSync(${JSON.stringify(file)}, String(process.resourceUsage().maxRSS))`;
  await writeFile(hook, `process.on('exit', () => ${write});`);
  const { exitCode, stderr } = await execa(process.execPath, ['--require', hook, program, ...args], {
    reject: false,
    stdin: 'ignore',
    stdout: 'ignore',
  });
  return { exitCode, stderr, peakMiB: Number(await readFile(file, 'utf8')) / 1024 };
}

/** A disk of 2 TiB whose bitmaps have 512 MiB each, every part of them the same cluster, with each second bit set. */
async function hostileImage(folder: string): Promise<string> {
  const path = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', path, '2T');
  for (const name of NAMES) await qemuImg('bitmap', '--add', '-g', '512', path, name);
  const bytes = await readFile(path);
  const data = Math.ceil(bytes.length / 0x10000) * 0x10000;
  await patch(path, data, Buffer.alloc(0x10000, 0x55));
  const directory = await directoryAt(path);
  for (const index of NAMES.keys()) {
    const table = Number(bytes.readBigUInt64BE(directory + index * 32));
    await patch(path, table, Buffer.alloc(((512 * MIB) / 0x10000) * 8, u64(data)));
  }
  return path;
}

test('the largest bitmaps can be read, united and copied within the memory limit', async () => {
  const folder = await scratchFolder();
  const image = await hostileImage(folder);
  const overlay = join(folder, 'overlay.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay);
  const from = ['--from', image];
  for (const args of [
    ['list', image],
    ['create-from', '--allocated', overlay],
    [
      'create-from',
      ...NAMES.flatMap((name) => ['--bitmap', name]),
      ...from,
      '-n',
      'united',
      '-g',
      '64k',
      overlay,
    ],
    ['merge', ...from, overlay, 'm0', 'm1', 'm2'],
  ]) {
    const { exitCode, stderr, peakMiB } = await run(folder, ...args);
    expect({ args, exitCode, stderr: stderr.slice(0, 300) }).toMatchObject({ exitCode: 0 });
    expect(peakMiB, args.join(' ')).toBeLessThan(BOUND_MIB);
  }
});

test('bitmaps that need more memory than one change may use are refused before they are read', async () => {
  const folder = await scratchFolder();
  const image = await hostileImage(folder);
  const before = await readFile(image);
  const names = NAMES.flatMap((name) => ['-n', name]);
  const merged = await run(folder, 'create-from', '--allocated', ...names, '--if-exists', 'merge', image);
  expect(merged).toMatchObject({
    exitCode: 4,
    stderr: expect.stringMatching(/one change may take 1073741824/),
  });
  expect(merged.peakMiB).toBeLessThan(200);
  expect(before.equals(await readFile(image))).toBe(true);
});
