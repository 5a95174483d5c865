/** The references of an image apart from its disk and its bitmaps, on small images with known bytes. */
import { describe, expect, test } from 'vitest';
import { getBit } from '../../../src/bytes/bits.ts';
import { requireSound, takeCensus } from '../../../src/census/census.ts';
import { type Image, openImage, readActiveTables } from '../../../src/image/image.ts';
import type { TableReading } from '../../../src/image/read-tables.ts';
import { scanActiveTables } from '../../../src/image/scan.ts';
import type { Storage } from '../../../src/storage/storage.ts';
import { buildImage, type Layout } from '../image/built-image.ts';

const CLUSTER = 512;

const u64 = (value: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** Header, refcount table, L1 table and the first refcount block are clusters 0, 1, 2 and 3. */
async function built(
  edit: (storage: Storage) => Promise<void>,
  layout: Partial<Layout> = {},
): Promise<Image> {
  const { image } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 40, ...layout });
  await edit(image.storage);
  return openImage(image.storage);
}

/** A snapshot whose L1 table of so many entries stands in a cluster. */
interface Snapshot {
  l1Cluster: number;
  l1Entries: number;
  /** Makes the entry longer. */
  nameLength?: number;
}

async function putSnapshots(storage: Storage, at: number, snapshots: readonly Snapshot[]): Promise<void> {
  const entries = snapshots.map(({ l1Cluster, l1Entries, nameLength = 0 }) => {
    const entry = Buffer.alloc(40 + Math.ceil(nameLength / 8) * 8);
    entry.set(u64(l1Cluster * CLUSTER), 0);
    entry.set(u32(l1Entries), 8);
    entry.writeUInt16BE(nameLength, 14);
    return entry;
  });
  await storage.write(60, u32(snapshots.length));
  await storage.write(64, u64(at));
  await storage.write(at, Buffer.concat(entries));
}

/** Names L2 tables from an L1 table, by cluster. */
const nameTables = (storage: Storage, l1Cluster: number, ...clusters: number[]) =>
  storage.write(l1Cluster * CLUSTER, Buffer.concat(clusters.map((cluster) => u64(cluster * CLUSTER))));

/** Where the L2 table stands that names clusters before the census does. */
const L2 = 38;

/** @param before clusters that the disk has */
async function added(
  image: Image,
  before: readonly number[] = [],
  reading: TableReading = {},
): Promise<number[]> {
  if (before.length > 0) {
    await nameTables(image.storage, image.header.l1TableOffset / CLUSTER, L2);
    await nameTables(image.storage, L2, ...before);
  }
  const scan = await scanActiveTables(await readActiveTables(image), undefined, reading);
  const { ofImage } = requireSound(await takeCensus(scan, reading));
  return Array.from({ length: ofImage.clusterCount }, (_, cluster) => cluster).filter(
    (cluster) => getBit(ofImage.bits, cluster) && !before.includes(cluster),
  );
}

test('a scan can be used for one census only, because the census takes its set', async () => {
  const image = await built(async () => {});
  const scan = await scanActiveTables(await readActiveTables(image), undefined, {});
  await takeCensus(scan, {});
  await expect(takeCensus(scan, {})).rejects.toThrow('counted twice');
});

const needsCheck = (message: RegExp) =>
  expect.objectContaining({ code: 'NEEDS_CHECK', message: expect.stringMatching(message) });

describe('the references of an image include', () => {
  test('its header, its refcount table, its L1 table and every refcount block', async () => {
    expect(await added(await built(async () => {}))).toEqual([0, 1, 2, 3]);
    const layout = { refcountOrder: 6, clusterCount: 200, missingBlocks: [1] };
    expect(await added(await built(async () => {}, layout))).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('all clusters of a refcount table and of an L1 table', async () => {
    const image = await built(async (storage) => {
      await storage.write(20 * CLUSTER, await readBytesOf(storage, CLUSTER));
      await storage.write(48, u64(20 * CLUSTER));
      await storage.write(56, u32(3));
      await storage.write(36, u32(65));
      await storage.write(40, u64(10 * CLUSTER));
    });
    expect(await added(image)).toEqual([0, 3, 10, 11, 20, 21, 22]);
  });

  test('the encryption header', async () => {
    const image = await built(async (storage) => {
      await storage.write(32, u32(2));
      await storage.write(104, Buffer.concat([u32(0x0537be77), u32(16), u64(8 * CLUSTER), u64(700)]));
    });
    expect(await added(image)).toEqual([0, 1, 2, 3, 8, 9]);
    await expect(added(image, [9])).rejects.toEqual(needsCheck(/the encryption header at 0x1000 overlaps/));
  });

  test('its snapshots, their L1 tables, the L2 tables of these and the clusters that they name', async () => {
    const image = await built(async (storage) => {
      await putSnapshots(storage, 10 * CLUSTER, [
        { l1Cluster: 12, l1Entries: 65 },
        { l1Cluster: 14, l1Entries: 2, nameLength: 500 },
      ]);
      await nameTables(storage, 2, 20);
      await nameTables(storage, 12, 20, 21);
      await nameTables(storage, 14, 21, 22);
      await nameTables(storage, 20, 30);
      await nameTables(storage, 21, 31);
      await nameTables(storage, 22, 32);
    });
    expect(await added(image)).toEqual([0, 1, 2, 3, 10, 11, 12, 13, 14, 20, 21, 22, 30, 31, 32]);
  });

  test.each([false, true])(
    'each table of snapshots once, even if several share it (the disk too: %s)',
    async (isShared) => {
      const image = await built(
        async (storage) => {
          await putSnapshots(
            storage,
            10 * CLUSTER,
            Array.from({ length: 60 }, () => ({ l1Cluster: 25, l1Entries: 1 })),
          );
          await nameTables(storage, 25, 26);
          await nameTables(storage, 2, isShared ? 26 : 0);
        },
        { clusterCount: 40 },
      );
      const reads: number[] = [];
      const storage = {
        ...image.storage,
        sizeBytes: image.storage.sizeBytes,
        read: (offset: number, into: Uint8Array) => {
          reads.push(Math.floor(offset / CLUSTER));
          return image.storage.read(offset, into);
        },
      };
      await added({ ...image, storage });
      expect(reads.filter((cluster) => cluster === 25)).toEqual([25]);
      expect(reads.filter((cluster) => cluster === 26)).toEqual([26]);
    },
  );

  test('a snapshot table of any length', async () => {
    const snapshots = Array.from({ length: 5 }, (_, index) => ({
      l1Cluster: 660 + index,
      l1Entries: 1,
      nameLength: 65000,
    }));
    const image = await built((storage) => putSnapshots(storage, 10 * CLUSTER, snapshots), {
      refcountOrder: 0,
      clusterCount: 700,
    });
    const tableEnd = 10 + Math.ceil((5 * (40 + 65000)) / CLUSTER);
    expect(await added(image)).toEqual([
      0,
      1,
      2,
      3,
      ...Array.from({ length: tableEnd - 10 }, (_, index) => 10 + index),
      ...snapshots.map(({ l1Cluster }) => l1Cluster),
    ]);
  });
});

async function readBytesOf(storage: Storage, offset: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(CLUSTER);
  await storage.read(offset, bytes);
  return bytes;
}

describe('a census refuses', () => {
  test.each([
    ['an L1 table', 2, /the active L1 table at 0x400 overlaps something else in the image at 0x400/],
    ['a refcount table', 1, /the refcount table at 0x200 overlaps/],
    ['a refcount block', 3, /refcount block 0 at 0x600 overlaps/],
  ])('%s that has another owner as well', async (_, cluster, message) => {
    await expect(added(await built(async () => {}), [cluster])).rejects.toEqual(needsCheck(message));
  });

  test('a refcount table over the L1 table', async () => {
    await expect(added(await built((storage) => storage.write(48, u64(CLUSTER * 2))))).rejects.toEqual(
      needsCheck(/the refcount table at 0x400 overlaps/),
    );
  });

  test('a snapshot table in the header', async () => {
    const image = await built((storage) => storage.write(60, u32(1)));
    await expect(added(image)).rejects.toEqual(needsCheck(/the snapshot table lies in the header/));
  });

  test.each([
    ['in the middle of an entry', 39 * CLUSTER, { l1Cluster: 12, l1Entries: 1, nameLength: 500 }],
    ['before it begins', 40 * CLUSTER, { l1Cluster: 12, l1Entries: 1 }],
  ])('a snapshot table if the file ends %s', async (_, at, snapshot) => {
    const image = await built((storage) => putSnapshots(storage, at, [snapshot]));
    const storage = { ...image.storage, sizeBytes: 40 * CLUSTER };
    await expect(added({ ...image, storage })).rejects.toMatchObject({
      code: 'INVALID_IMAGE',
      message: expect.stringContaining('the snapshot table reaches beyond the end of the file'),
    });
  });

  test('snapshots with more L1 clusters than the file has', async () => {
    const tables = (count: number) =>
      built((storage) =>
        putSnapshots(
          storage,
          10 * CLUSTER,
          Array.from({ length: count }, (_, index) => ({ l1Cluster: 30, l1Entries: 65 + index })),
        ),
      );
    expect(await added(await tables(20))).toContain(31);
    await expect(added(await tables(21))).rejects.toThrow(/the L1 tables of its snapshots take 42 clusters/);
  });

  test('to continue after an abort', async () => {
    const image = await built((storage) =>
      putSnapshots(storage, 10 * CLUSTER, [{ l1Cluster: 12, l1Entries: 1 }]),
    );
    await expect(added(image, [], { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    );
  });
});
