/** The bitmaps of an image in its directory and tables, sound and broken. */
import { describe, expect, test } from 'vitest';
import { RefusedError } from '../../../src/errors.ts';
import { hostOffset } from '../../../src/format/addresses.ts';
import { openImage } from '../../../src/image/image.ts';
import {
  bitmapRanges,
  examineDirectory,
  readBitmapDirectory,
  readBitmapTable,
  refuseStaleBitmaps,
} from '../../../src/image/stored-bitmaps.ts';
import type { Storage } from '../../../src/storage/storage.ts';
import { memoryStorage } from '../../support/memory.ts';
import { storedHeader } from '../format/stored-header.ts';
import { type RawEntry, rawEntry } from './edited-image.ts';

const CLUSTER = 512;
const EXTENSION = 104;
const DIRECTORY = 2;
const IN_USE = 1;

/** A bitmap of 512 bytes granularity over 4 MiB takes two clusters; its table stands in cluster 6. */
const bitmap = (name: string, changes: Partial<RawEntry> = {}): RawEntry => ({
  tableOffset: 6 * CLUSTER,
  tableSize: 2,
  flags: 0,
  type: 1,
  granularityBits: 9,
  name,
  extraData: new Uint8Array(0),
  ...changes,
});

interface Contents {
  bitmaps?: readonly RawEntry[];
  table?: readonly bigint[];
  sizeBytes?: number;
  live?: boolean;
  /** Fields of the extension that differ from what stands in the image. */
  count?: number;
  directorySize?: number;
  directoryOffset?: number;
}

/** 512-byte clusters: header, directory in cluster 2, table in cluster 6. */
function bytesOf({
  bitmaps = [],
  table = [],
  sizeBytes = 10 * CLUSTER,
  live = true,
  count = bitmaps.length,
  directorySize,
  directoryOffset = DIRECTORY * CLUSTER,
}: Contents): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  bytes.set(storedHeader({ cluster_bits: 9, size: 2 ** 22, autoclear_features: live ? 1 : 0 }));
  const directory = Buffer.concat(bitmaps.map(rawEntry));
  bytes.set(directory, DIRECTORY * CLUSTER);
  bytes.writeUInt32BE(0x23852875, EXTENSION);
  bytes.writeUInt32BE(24, EXTENSION + 4);
  bytes.writeUInt32BE(count, EXTENSION + 8);
  bytes.writeBigUInt64BE(BigInt(directorySize ?? directory.length), EXTENSION + 16);
  bytes.writeBigUInt64BE(BigInt(directoryOffset), EXTENSION + 24);
  table.forEach((entry, index) => {
    bytes.writeBigUInt64BE(entry, 6 * CLUSTER + index * 8);
  });
  return bytes;
}

const open = (contents: Contents) =>
  openImage(memoryStorage(bytesOf(contents), { name: 'disk.qcow2' }), 'lenient');

const without = () =>
  openImage(memoryStorage(Buffer.concat([storedHeader({ cluster_bits: 9 }), Buffer.alloc(2048)])));

describe('the bitmaps that QEMU sees', () => {
  const namesOf = async (contents: Contents) =>
    (await readBitmapDirectory(await open(contents))).map(({ name }) => name);

  test('are those of the directory, or none if it is missing or outdated', async () => {
    const bitmaps = [bitmap('a'), bitmap('b')];
    expect(await namesOf({ bitmaps })).toEqual(['a', 'b']);
    expect(await namesOf({ bitmaps, live: false })).toEqual([]);
    expect(await readBitmapDirectory(await without())).toEqual([]);
  });

  test('have tables that need at most as many clusters as the file has', async () => {
    const many = (count: number) => Array.from({ length: count }, (_, index) => bitmap(`${index}`));
    expect(await namesOf({ bitmaps: many(10) })).toHaveLength(10);
    await expect(namesOf({ bitmaps: many(11) })).rejects.toThrow(
      /^disk\.qcow2: the tables of its bitmaps take 11 clusters, the file has 10/,
    );
  });

  test('count every cluster of a table with several', async () => {
    const two = { flags: IN_USE, tableSize: 65 };
    const bitmaps = ['a', 'b', 'c', 'd', 'e'].map((name) => bitmap(name, two));
    expect(await namesOf({ bitmaps })).toHaveLength(5);
    await expect(namesOf({ bitmaps: [...bitmaps, bitmap('f', two)] })).rejects.toThrow('take 12 clusters');
  });

  test('include a table that ends with the file, but not one beyond it', async () => {
    const sizeBytes = 6 * CLUSTER + 16;
    const bitmaps = Array.from({ length: 7 }, (_, index) => bitmap(`${index}`, { flags: IN_USE }));
    const beyond = bitmap('beyond', { flags: IN_USE, tableOffset: 7 * CLUSTER });
    const longer = bitmap('longer', { flags: IN_USE, tableSize: 3 });
    expect(await namesOf({ bitmaps: [...bitmaps, beyond, longer], sizeBytes })).toHaveLength(9);
    await expect(namesOf({ bitmaps: [...bitmaps, bitmap('more')], sizeBytes })).rejects.toThrow(
      'take 8 clusters, the file has 7',
    );
  });
});

describe('a directory that may be broken', () => {
  const examine = async (contents: Contents) => {
    const { entries, violations } = await examineDirectory(await open(contents));
    return { names: entries.map(({ entry }) => entry?.name), rules: violations.map(({ rule }) => rule) };
  };
  const bitmaps = [bitmap('a'), bitmap('b')];

  test('has no entries if its position is unknown', async () => {
    expect(await examineDirectory(await without())).toEqual({ entries: [], violations: [] });
    expect(await examine({ bitmaps, directoryOffset: 100 })).toEqual({ names: [], rules: [] });
  });

  test('is read even if it is outdated', async () => {
    expect(await examine({ bitmaps, live: false })).toEqual({ names: ['a', 'b'], rules: [] });
  });

  test('is read to the end of its last cluster, because its size may be too small', async () => {
    expect(await examine({ bitmaps, directorySize: 32 })).toMatchObject({ names: ['a', 'b'] });
  });

  test('is read up to the size that its bitmaps can need if no size is stored', async () => {
    const long = [bitmap('a'.repeat(1023)), bitmap('b'.repeat(1023)), bitmap('c')].map((each) => ({
      ...each,
      tableOffset: 8 * CLUSTER,
    }));
    const { names } = await examine({ bitmaps: long, directorySize: 0 });
    expect(names.map((name) => name?.length)).toEqual([1023, 1023, 1]);
    expect(await examine({ bitmaps, directorySize: 0, count: 0 })).toMatchObject({ names: ['a', 'b'] });
  });

  test('breaks a rule if the file ends before it, but not if it ends with the file', async () => {
    const sizeBytes = DIRECTORY * CLUSTER + 64;
    expect(await examine({ bitmaps, sizeBytes })).toEqual({ names: ['a', 'b'], rules: [] });
    const cut = await examine({ bitmaps, sizeBytes, directorySize: 72, count: 2 });
    expect(cut).toMatchObject({ names: ['a', 'b'] });
    expect(cut.rules[0]).toBe('directory-beyond-end');
    expect(await examine({ bitmaps, directoryOffset: 2 ** 30 })).toMatchObject({
      names: [],
      rules: expect.arrayContaining(['directory-beyond-end']),
    });
    // Without a size no directory reaches beyond the end.
    expect((await examine({ bitmaps, sizeBytes, directorySize: 0 })).rules).not.toContain(
      'directory-beyond-end',
    );
  });
});

describe('the table of a bitmap', () => {
  const read = async (contents: Contents, changes: Partial<RawEntry> = {}) => {
    const image = await open({ ...contents, bitmaps: [bitmap('a', changes)] });
    const [entry] = await readBitmapDirectory(image);
    return readBitmapTable(image, entry!);
  };
  const inUse = { flags: IN_USE };

  test('gives for each cluster of the bits whether all are clear or set, or its position', async () => {
    expect(await read({ table: [0n, 1n] })).toEqual(['zeros', 'ones']);
    // The last cluster of the file is inside.
    expect(await read({ table: [9n * 512n, 0n] })).toEqual([{ dataOffset: 9 * CLUSTER }, 'zeros']);
    expect(await read({ table: [1n, 9n * 512n] }, inUse)).toEqual(['ones', { dataOffset: 9 * CLUSTER }]);
  });

  test('is refused with a remedy if it is broken', async () => {
    await expect(read({ table: [0n, 2n] })).rejects.toMatchObject({
      message: expect.stringMatching(/^disk\.qcow2: bitmap "a": bitmap table entry 1: 0x2 has reserved bits/),
      remedy: expect.objectContaining({ kind: 'remove-bitmap' }),
    });
    await expect(read({ table: [10n * 512n] })).rejects.toThrow(
      'a data cluster of bitmap "a" at 0x1400 (512 bytes) reaches beyond the end of the file',
    );
    await expect(read({}, { tableOffset: 10 * CLUSTER })).rejects.toThrow(
      'the table of bitmap "a" at 0x1400 (16 bytes) reaches beyond the end of the file',
    );
  });

  test('lists every cluster that it might refer to if the bitmap is in use, inside the file or not', async () => {
    expect(await read({ table: [8n * 512n + 2n, 1n << 20n] }, inUse)).toEqual([
      { dataOffset: 8 * CLUSTER },
      { dataOffset: 2 ** 20 },
    ]);
    const atTheEnd = { table: [2n, 8n * 512n + 2n], sizeBytes: 6 * CLUSTER + 16 };
    expect(await read(atTheEnd, inUse)).toEqual([{ dataOffset: 8 * CLUSTER }]);
    // A truncated table does not count.
    const cutOff = { table: [8n * 512n + 2n], sizeBytes: 6 * CLUSTER + 15 };
    expect(await read(cutOff, inUse)).toEqual([]);
  });

  test('does not count as broken if the device fails once', async () => {
    const storage = memoryStorage(bytesOf({ bitmaps: [bitmap('a', inUse)], table: [0n, 1n] }));
    const fault = new Error('the device fails');
    let fails = false;
    const failing: Storage = {
      ...storage,
      sizeBytes: storage.sizeBytes,
      read: async (offset, into) => {
        if (fails) {
          fails = false;
          throw fault;
        }
        return storage.read(offset, into);
      },
    };
    const image = await openImage(failing);
    const [entry] = await readBitmapDirectory(image);
    fails = true;
    await expect(readBitmapTable(image, entry!)).rejects.toBe(fault);
  });

  test('and its clusters are what the bitmap occupies', async () => {
    const image = await open({ bitmaps: [bitmap('a')] });
    const [entry] = await readBitmapDirectory(image);
    expect(bitmapRanges(image, entry!, ['zeros', { dataOffset: hostOffset(8 * CLUSTER) }, 'ones'])).toEqual([
      { offset: 6 * CLUSTER, length: 16 },
      { offset: 8 * CLUSTER, length: CLUSTER },
    ]);
  });
});

test('only outdated bitmaps are refused as outdated', async () => {
  const bitmaps = [bitmap('a')];
  expect(refuseStaleBitmaps(await open({ bitmaps }))).toBeUndefined();
  expect(refuseStaleBitmaps(await without())).toBeUndefined();
  const stale = await open({ bitmaps, live: false });
  expect(() => refuseStaleBitmaps(stale)).toThrow(RefusedError);
  expect(() => refuseStaleBitmaps(stale)).toThrow('its bitmaps are not valid (autoclear bit 0 is clear)');
});
