/**
 * Backing chains that would harm a program that follows them. They are refused with a message in limited time, and no file
 * outside is read.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { type MapExtent, qemuImg } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { longChain, patch } from './craft.ts';

/** An overlay with the backing file `backing`, which may be missing, and the format raw, or none with ''. */
async function overlayOn(folder: string, backing: string, format: 'raw' | ''): Promise<string> {
  const path = join(folder, 'overlay.qcow2');
  await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', backing, '-F', 'raw', path, '1M');
  if (format === '') await patch(path, (await readFile(path)).indexOf('raw'), Buffer.alloc(3));
  return path;
}

const FOLLOWING = [['list', '--chain'], ['map'], ['create-from', '--allocated']];

interface BadFile {
  readonly what: string;
  readonly make: (folder: string) => Promise<string>;
}

const notImages: readonly BadFile[] = [
  {
    what: 'a FIFO',
    async make(folder) {
      await execa('mkfifo', [join(folder, 'fifo')]);
      return join(folder, 'fifo');
    },
  },
  {
    what: 'a directory',
    async make(folder) {
      await mkdir(join(folder, 'images'));
      return join(folder, 'images');
    },
  },
  {
    what: 'a socket',
    async make(folder) {
      const server = createServer().listen(join(folder, 'socket'));
      onTestFinished(() => void server.close());
      return join(folder, 'socket');
    },
  },
  { what: 'an endless device', make: async () => '/dev/zero' },
  { what: 'a terminal', make: async () => '/dev/tty' },
  { what: 'another process’s memory, by way of a folder', make: async () => '/proc/self' },
];

describe('a backing chain', () => {
  test.each(notImages)('with $what is refused, and the file is not opened', async ({ make }) => {
    const folder = await scratchFolder();
    const image = await overlayOn(folder, await make(folder), 'raw');
    for (const command of FOLLOWING) {
      const { exitCode, error } = await bitmapTool(...command, image, '--json');
      expect({ exitCode, code: error?.code }).toEqual({ exitCode: 4, code: 'BROKEN_CHAIN' });
    }
  });

  // A read of the kernel's log waits for the next message. The others contain data of the reading process.
  test.each(['/proc/kmsg', '/proc/self/environ', '/proc/self/mem'])(
    'with %s reads nothing from it, as in QEMU: files of /proc have the size 0',
    async (file) => {
      const image = await overlayOn(await scratchFolder(), file, '');
      const result = await bitmapTool('map', image, '--json');
      expect(result.exitCode).toBe(0);
      const ours = result.json as MapExtent[];
      expect(ours.map(({ data, depth }) => ({ data, depth }))).toEqual([{ data: false, depth: 0 }]);
      const { layers } = await bitmapToolJson<{ layers: { virtualSize: number }[] }>(
        'list',
        '--chain',
        image,
      );
      expect(layers[1]?.virtualSize).toBe(0);
    },
  );
});

test('a chain of 10 000 images is refused at image 1000 by every command that follows it', async () => {
  const top = await longChain(await scratchFolder(), 10_000);
  for (const command of FOLLOWING) {
    const { exitCode, error } = await bitmapTool(...command, top, '--json');
    expect({ exitCode, code: error?.code }).toEqual({ exitCode: 4, code: 'BROKEN_CHAIN' });
    expect(error?.message).toMatch(/more than 1000 images deep/);
  }
  // A command that does not follow the chain succeeds.
  expect((await bitmapTool('create-from', '--allocated', '--name', 'own', top)).exitCode).toBe(0);
});

test('a chain of 500 images can be mapped, listed and given a bitmap', async () => {
  const top = await longChain(await scratchFolder(), 500);
  const map = await bitmapToolJson<MapExtent[]>('map', top);
  expect(map.map(({ start, length, depth, present }) => ({ start, length, depth, present }))).toEqual(
    (JSON.parse(await qemuImg('map', '--output=json', top)) as MapExtent[]).map(
      ({ start, length, depth, present }) => ({ start, length, depth, present }),
    ),
  );
  const { layers } = await bitmapToolJson<{ layers: unknown[] }>('list', '--chain', top);
  expect(layers).toHaveLength(500);
  expect((await bitmapTool('create-from', '--allocated', top)).exitCode).toBe(0);
});
