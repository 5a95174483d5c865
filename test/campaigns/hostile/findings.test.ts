/**
 * Broken images that an earlier version handled wrongly or differently from QEMU.
 */
import { readFile, truncate } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { digest } from '../../support/file-state.ts';
import { qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { directoryAt, patch, plainImage, u32, u64 } from './craft.ts';

interface Finding {
  readonly rule: string;
  readonly make: (folder: string) => Promise<string>;
  readonly args?: (image: string) => string[];
  readonly code: string;
  readonly says: RegExp;
}

const add = (image: string) => ['add', image, 'c1'];
const COMPRESSED = 1n << 62n;

async function withBitmap(folder: string, ...io: string[]): Promise<string> {
  const path = await plainImage(folder);
  await qemuImg('bitmap', '--add', path, 'there');
  if (io.length > 0) await qemuIo(path, ...io);
  return path;
}

const findings: readonly Finding[] = [
  {
    rule: 'a refcount block beyond the end of the file, in a place for new clusters',
    async make(folder) {
      const path = await plainImage(folder);
      const end = Math.ceil((await readFile(path)).length / 0x10000) * 0x10000;
      await patch(path, 0x10008, u64(end));
      return path;
    },
    code: 'INVALID_IMAGE',
    says: /refcount block 1 at 0x\w+ \(65536 bytes\) reaches beyond the end of the file/,
  },
  {
    rule: 'a compressed cluster in the header',
    async make(folder) {
      const path = await plainImage(folder);
      await patch(path, 0x40078, u64(COMPRESSED));
      return path;
    },
    code: 'NEEDS_CHECK',
    says: /the cluster of disk offset 0xf0000 at 0x0 lies in the header/,
  },
  {
    rule: 'a snapshot table in the header',
    async make(folder) {
      const path = await plainImage(folder);
      await patch(path, 60, u32(1, 0, 0));
      return path;
    },
    code: 'NEEDS_CHECK',
    says: /the snapshot table lies in the header/,
  },
  {
    rule: 'a bitmap in use whose table is beyond the end of the file, because QEMU frees its clusters when it is removed',
    async make(folder) {
      const path = await withBitmap(folder);
      const end = Math.ceil((await readFile(path)).length / 0x10000) * 0x10000;
      const entry = await directoryAt(path);
      await patch(path, entry, u64(end));
      await patch(path, entry + 12, u32(3));
      return path;
    },
    code: 'BITMAP_INCONSISTENT',
    says: /bitmap "there" is marked in-use and points beyond the end of the file/,
  },
  {
    rule: 'an encryption header beyond 2^53',
    async make(folder) {
      const path = await plainImage(folder);
      await patch(path, 32, u32(2));
      await patch(path, 112, Buffer.concat([u32(0x0537be77, 16), u64(2n ** 60n, 512), u64(0)]));
      return path;
    },
    code: 'INVALID_IMAGE',
    says: /encryption header extension at 0x70: offset is 0x1000000000000000, beyond 2\^53/,
  },
  {
    rule: 'an L1 table that refers to one L2 table more often than the file has clusters',
    async make(folder) {
      const path = await plainImage(folder);
      await patch(path, 36, u32(4096));
      await patch(path, 0x30000, Buffer.alloc(4096 * 8, u64(0x40000)));
      return path;
    },
    code: 'INVALID_IMAGE',
    says: /L2 tables that the active L1 table names take 4096 clusters, the file has \d+: some are named more than once/,
  },
  {
    rule: 'thousands of snapshots with the same large L1 table',
    async make(folder) {
      const path = await plainImage(folder);
      const at = 0x200000;
      const entries = Array.from({ length: 4096 }, (_, index) =>
        Buffer.concat([u64(0x300000), u32(0x400000 - index), Buffer.alloc(24), u32(0)]),
      );
      await patch(path, at, Buffer.concat(entries));
      await truncate(path, 0x300000 + 0x2000000);
      await patch(path, 60, Buffer.concat([u32(entries.length), u64(at)]));
      return path;
    },
    code: 'INVALID_IMAGE',
    says: /the L1 tables of its snapshots take \d+ clusters, the file has \d+/,
  },
];

describe('refuses, and writes nothing:', () => {
  test.each(findings)('$rule', async ({ make, args = add, code, says }) => {
    const image = await make(await scratchFolder());
    const before = await digest(image);
    const { exitCode, error } = await bitmapTool(...args(image), '--json');
    expect({ exitCode, code: error?.code }).toEqual({ exitCode: 4, code });
    expect(error?.message).toMatch(says);
    expect(await digest(image)).toBe(before);
  });
});

test('a bitmap in use that points beyond the end of the file can be removed', async () => {
  const image = await findings[3]!.make(await scratchFolder());
  expect((await bitmapTool('remove', image, 'there')).exitCode).toBe(0);
  expect(await qemuBitmaps(image)).toEqual([]);
  expect(await qemuCheck(image)).toMatchObject({ corruptions: 0, errors: 0 });
});

test('a bitmap name ends at a zero byte, as in QEMU', async () => {
  const image = await withBitmap(await scratchFolder());
  await patch(image, (await directoryAt(image)) + 24 + 3, Uint8Array.of(0));
  const { bitmaps } = await bitmapToolJson<{ bitmaps: { name: string }[] }>('list', image);
  expect(bitmaps.map(({ name }) => name)).toEqual((await qemuBitmaps(image)).map(({ name }) => name));
  expect(bitmaps.map(({ name }) => name)).toEqual(['the']);
});

test('the backing file name and the backing format end at a zero byte', async () => {
  const folder = await scratchFolder();
  const base = await plainImage(folder);
  const overlay = join(folder, 'overlay.qcow2');
  const name = basename(base);
  await qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', `${name}x`, '-F', 'qcow2', overlay, '1M');
  const bytes = await readFile(overlay);
  await patch(overlay, bytes.indexOf(`${name}x`) + name.length, Uint8Array.of(0));
  // An empty format does not count, so the format is probed.
  await patch(overlay, bytes.indexOf('qcow2'), Uint8Array.of(0));
  const map = await bitmapToolJson<{ depth: number; data: boolean }[]>('map', overlay);
  const theirs = JSON.parse(await qemuImg('map', '--output=json', overlay));
  expect(map.map(({ depth, data }) => ({ depth, data }))).toEqual(
    theirs.map(({ depth, data }: { depth: number; data: boolean }) => ({ depth, data })),
  );
  expect(map[0]).toMatchObject({ depth: 1, data: true });
});

test('a bitmap of 300 000 clusters can be removed', async () => {
  const image = join(await scratchFolder(), 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', image, '1G');
  await qemuImg('bitmap', '--add', '-g', '512', image, 'fine');
  // A table in use may have any size. This one refers only to itself.
  const entry = await directoryAt(image);
  const tableAt = Math.ceil((await readFile(image)).length / 512) * 512;
  const count = 300_000;
  await truncate(image, tableAt + count * 8 + 512);
  await patch(image, tableAt, Buffer.alloc(count * 8, u64(tableAt)));
  await patch(image, entry, u64(tableAt));
  await patch(image, entry + 8, u32(count, 3));
  expect(await bitmapTool('remove', image, 'fine')).toMatchObject({ exitCode: 0, stderr: '' });
  expect(await qemuBitmaps(image)).toEqual([]);
});

test('two names that look equal as text are two bitmaps', async () => {
  const image = await withBitmap(await scratchFolder());
  await qemuImg('bitmap', '--add', image, 'x\\xff');
  await qemuImg('bitmap', '--add', image, 'xxxxx');
  const bytes = await readFile(image);
  const at = bytes.indexOf('xxxxx');
  // One name is the five characters x\xff. The other one is x and the byte ff, padded with zeros.
  await patch(image, at, Uint8Array.of(0x78, 0xff, 0, 0, 0));
  expect((await bitmapTool('remove', image, 'x\\xff')).exitCode).toBe(0);
  const { bitmaps } = await bitmapToolJson<{ bitmaps: { name: string }[] }>('list', image);
  expect(bitmaps.map(({ name }) => name)).toEqual(['there', 'x\\xff']);
});
