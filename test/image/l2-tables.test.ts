/** L2 tables that lie scattered are read many at a time, each is visited once, and in the order of the file. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { tableRoomBytes, visitL2Tables } from '../../src/image/l2-tables.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { buildImage } from './built-image.ts';

const clusters = Array.from({ length: 60 }, (_, index) => 190 - 3 * index);

/** Reads one sector of every third as a table, and returns which were visited, in order. */
async function visitAll(
  reading: Pick<Storage, 'read' | 'readNow'>,
  { signal, onVisit }: { signal?: AbortSignal; onVisit?: () => void } = {},
): Promise<number[]> {
  const { image } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 200 });
  const storage: Storage = { ...image.storage, sizeBytes: image.storage.sizeBytes, ...reading };
  const visited: number[] = [];
  await visitL2Tables(
    { ...image, storage },
    Float64Array.from(clusters, (cluster) => cluster * 512),
    new Uint8Array(tableRoomBytes(image.header)),
    (l1Index, table) => {
      expect(new Set(table)).toEqual(new Set([clusters[l1Index]]));
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

test('at least 8 reads are under way at once, of tables that do not lie side by side', async () => {
  const { read, seen } = slowly();
  expect(await visitAll({ read })).toEqual(clusters.toReversed());
  expect(seen.most).toBeGreaterThanOrEqual(8);
});

test('a storage that turns out to be slow is asked for many at once from then on', async () => {
  const { read, seen } = slowly();
  let calls = 0;
  const readNow = (offset: number, into: Uint8Array) => {
    // Tables from a cache take microseconds, those of the eighth read and later ones wait for a disk.
    if (++calls >= 8) spend(5);
    return fill(offset, into);
  };
  expect(await visitAll({ read, readNow })).toEqual(clusters.toReversed());
  expect(calls).toBeLessThanOrEqual(8);
  expect(seen.most).toBeGreaterThanOrEqual(8);
});

test('what does not come at once is read the other way', async () => {
  const { read } = slowly();
  let calls = 0;
  const readNow = (offset: number, into: Uint8Array) => {
    return ++calls % 5 !== 0 && fill(offset, into);
  };
  expect(await visitAll({ read, readNow })).toEqual(clusters.toReversed());
});

test('reading that never has to wait lets others have their turn, an abort among them', async () => {
  const controller = new AbortController();
  setImmediate(() => controller.abort());
  const visiting = visitAll(
    { read: slowly().read, readNow: fill },
    { signal: controller.signal, onVisit: () => spend(10) },
  );
  await expect(visiting).rejects.toThrow('aborted');
});
