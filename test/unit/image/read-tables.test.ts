/** Scattered L2 tables are read many at a time, each is visited once, and in the order of the file. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { mostTableBytes, tableRoomBytes, visitTables } from '../../../src/image/read-tables.ts';
import type { Storage } from '../../../src/storage/storage.ts';
import { expectEqual } from '../../support/expect-equal.ts';
import { buildImage } from './built-image.ts';

const clusters = Array.from({ length: 60 }, (_, index) => 190 - 3 * index);

/** Reads one sector of every third as a table, and returns which were visited, in order. */
async function visitAll(
  reading: Pick<Storage, 'read' | 'readNow'>,
  { signal, onVisit }: { signal?: AbortSignal; onVisit?: () => void } = {},
): Promise<number[]> {
  const { image } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 200 });
  const storage: Storage = { ...image.storage, sizeBytes: image.storage.sizeBytes, ...reading };
  const stored = { ...image, storage };
  const visited: number[] = [];
  await visitTables(
    stored,
    Float64Array.from(clusters, (cluster) => cluster * 512),
    new Uint8Array(tableRoomBytes(stored, clusters.length)),
    (l1Index, table) => {
      expectEqual(new Set(table), new Set([clusters[l1Index]]));
      visited.push(clusters[l1Index]!);
      onVisit?.();
    },
    { signal },
  );
  return visited;
}

function fill(offset: number, into: Uint8Array): true {
  into.fill((offset / 512) % 256);
  return true;
}

function spend(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end; );
}

function slowly() {
  let underWay = 0;
  const seen = { most: 0 };
  const read = async (offset: number, into: Uint8Array) => {
    seen.most = Math.max(seen.most, ++underWay);
    await sleep(1);
    underWay--;
    fill(offset, into);
  };
  return { read, seen };
}

test('at least 8 reads of separate tables run at once', async () => {
  const { read, seen } = slowly();
  expect(await visitAll({ read })).toEqual(clusters.toReversed());
  expect(seen.most).toBeGreaterThanOrEqual(8);
});

test('a storage that becomes slow gets many reads at once from then on', async () => {
  const { read, seen } = slowly();
  let calls = 0;
  const readNow = (offset: number, into: Uint8Array) => {
    // Cached tables take microseconds. The eighth and later reads wait for a disk.
    if (++calls >= 8) spend(5);
    return fill(offset, into);
  };
  expect(await visitAll({ read, readNow })).toEqual(clusters.toReversed());
  expect(calls).toBeLessThanOrEqual(8);
  expect(seen.most).toBeGreaterThanOrEqual(8);
});

test('what cannot be read at once is read asynchronously', async () => {
  const { read } = slowly();
  let calls = 0;
  const readNow = (offset: number, into: Uint8Array) => {
    return ++calls % 5 !== 0 && fill(offset, into);
  };
  expect(await visitAll({ read, readNow })).toEqual(clusters.toReversed());
});

test('synchronous reads give way to other tasks, such as an abort', async () => {
  const controller = new AbortController();
  setImmediate(() => controller.abort());
  const visiting = visitAll(
    { read: slowly().read, readNow: fill },
    { signal: controller.signal, onVisit: () => spend(25) },
  );
  await expect(visiting).rejects.toThrow('aborted');
});

/** Enough that reads have their full length. */
const FILE_CLUSTERS = 10_000;

/** Visits tables of an image whose clusters have 2^clusterBits bytes, and returns the reads. */
async function visit(
  clusterBits: number,
  l2Offsets: readonly number[],
  read?: (offset: number, into: Uint8Array) => Promise<void>,
  tableCount = 2 ** 20,
) {
  const { image } = await buildImage({ clusterBits, refcountOrder: 4, clusterCount: 5 });
  const reads: [offset: number, lengthBytes: number][] = [];
  const storage: Storage = {
    ...image.storage,
    sizeBytes: FILE_CLUSTERS * 2 ** clusterBits,
    read: async (offset, into) => {
      reads.push([offset, into.length]);
      // Every sector holds its number.
      const sectors = new Uint32Array(into.buffer, into.byteOffset, into.length / 4);
      for (let at = 0; at < sectors.length; at += 128) sectors[at] = offset / 512 + at / 128;
      await read?.(offset, into);
    },
  };
  delete (storage as { readNow?: unknown }).readNow;
  const visited: number[] = [];
  const together: number[] = [];
  const progress: number[] = [];
  const stored = { ...image, storage };
  await visitTables(
    stored,
    Float64Array.from(l2Offsets),
    new Uint8Array(tableRoomBytes(stored, tableCount)),
    (first, tables) => {
      const count = tables.length / 2 ** clusterBits;
      for (let index = 0; index < count; index++) {
        const [sector] = new Uint32Array(tables.buffer, tables.byteOffset + index * 2 ** clusterBits, 1);
        expectEqual(sector, l2Offsets[first + index]! / 512);
        visited.push(first + index);
      }
      together.push(count);
    },
    { onBytes: (bytes) => progress.push(bytes) },
  );
  expect(Math.max(...together) * 2 ** clusterBits).toBeLessThanOrEqual(mostTableBytes(stored));
  return { visited, together, reads, progress };
}

test('adjacent tables are read at once, up to 256 KiB, and each read is reported', async () => {
  const sideBySide = Array.from({ length: 700 }, (_, index) => (100 + index) * 512);
  expect(await visit(9, [...sideBySide, 0, 900 * 512])).toEqual({
    visited: [...sideBySide.keys(), 701],
    together: [512, 188, 1],
    reads: [
      [100 * 512, 512 * 512],
      [612 * 512, 188 * 512],
      [900 * 512, 512],
    ],
    progress: [512 * 512, 188 * 512, 512],
  });
});

test('adjacent tables are visited together only if their L1 entries follow each other, too', async () => {
  const clusters = [5, 6, 0, 7, 8, 20, 10, 11, 12, 9, 9];
  const { visited, together, reads } = await visit(
    9,
    clusters.map((cluster) => cluster * 512),
  );
  expect(visited).toEqual([0, 1, 3, 4, 9, 10, 6, 7, 8, 5]);
  expect(together).toEqual([2, 2, 1, 1, 3, 1]);
  expect(reads).toEqual([
    [5 * 512, 8 * 512],
    [20 * 512, 512],
  ]);
});

test('the room for the tables is not larger than the tables, than the file, or than 16 long reads', async () => {
  const { image } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 200 });
  const { sizeBytes } = image.storage;
  expect([0, 1, 5, 199].map((tables) => tableRoomBytes(image, tables))).toEqual([
    512,
    512,
    5 * 512,
    199 * 512,
  ]);
  expect(tableRoomBytes(image, 10_000)).toBe(sizeBytes - (sizeBytes % 512));
  const large = { ...image, storage: { ...image.storage, sizeBytes: 2 ** 30 } };
  expect(tableRoomBytes(large, 10_000)).toBe(16 * 256 * 1024);
});

test('few tables are read all at once, and more tables than there is room for one after another', async () => {
  const scattered = Array.from({ length: 5 }, (_, index) => (10 + 2 * index) * 512);
  for (const [tableCount, most] of [
    [5, 5],
    [2, 2],
    [0, 1],
  ] as const) {
    const { read, seen } = slowly();
    const { visited } = await visit(9, scattered, (offset) => read(offset, new Uint8Array(0)), tableCount);
    expect(visited).toEqual([0, 1, 2, 3, 4]);
    expect(seen.most).toBe(most);
  }
});

test('a table is visited for each entry that refers to it, many times for one read', async () => {
  expect(await visit(9, [6 * 512, 5 * 512, 0, 6 * 512])).toEqual({
    visited: [1, 0, 3],
    together: [1, 1, 1],
    reads: [[5 * 512, 1024]],
    progress: [1024],
  });
  const { visited, reads } = await visit(9, [5 * 512, ...Array<number>(10_000).fill(7 * 512)]);
  expectEqual(visited, [...Array(10_001).keys()]);
  expect(reads).toEqual([
    [5 * 512, 512],
    [7 * 512, 512],
    [7 * 512, 512],
    [7 * 512, 512],
  ]);
});

test('the last cluster of the file may be a table, and a table beyond it is refused with its number', async () => {
  expect((await visit(9, [9999 * 512])).visited).toEqual([0]);
  await expect(visit(9, [0, 9999 * 512, FILE_CLUSTERS * 512])).rejects.toThrow(
    'built.qcow2: L2 table 2 at 0x4e2000 (512 bytes) reaches beyond the end of the file',
  );
});

test.each([
  [2 ** 9, 16],
  [2 ** 18, 16],
  [2 ** 19, 8],
])('for tables of %i bytes at most %i reads run at once, which limits the memory', async (size, most) => {
  const { read, seen } = slowly();
  await visit(
    Math.log2(size),
    Array.from({ length: 30 }, (_, index) => (10 + 2 * index) * size),
    (offset) => read(offset, new Uint8Array(0)),
  );
  expect(seen.most).toBe(most);
});

test('the error of a failed read is thrown after all other reads have ended', async () => {
  let underWay = 0;
  const visiting = visit(
    9,
    Array.from({ length: 10 }, (_, index) => (10 + 2 * index) * 512),
    async (offset) => {
      if (offset === 14 * 512) throw new Error('the third fails at once');
      underWay++;
      await sleep(offset === 28 * 512 ? 30 : 5);
      underWay--;
    },
  );
  await expect(visiting).rejects.toThrow('the third fails at once');
  expect(underWay).toBe(0);
});
