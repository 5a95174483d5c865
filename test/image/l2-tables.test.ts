/** L2 tables that lie scattered are read many at a time, each is visited once, and in the order of the file. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { tableRoomBytes, visitL2Tables } from '../../src/image/l2-tables.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { buildImage } from './built-image.ts';

test('at least 8 reads are under way at once, of tables that do not lie side by side', async () => {
  const { image } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 200 });
  let underWay = 0;
  let most = 0;
  const storage: Storage = {
    ...image.storage,
    sizeBytes: image.storage.sizeBytes,
    async read(offset, into) {
      most = Math.max(most, ++underWay);
      await sleep(1);
      underWay--;
      into.fill((offset / 512) % 256);
    },
  };
  const clusters = Array.from({ length: 60 }, (_, index) => 190 - 3 * index);
  const visited: number[] = [];
  await visitL2Tables(
    { ...image, storage },
    Float64Array.from(clusters, (cluster) => cluster * 512),
    new Uint8Array(tableRoomBytes(image.header)),
    (l1Index, table) => {
      expect(new Set(table)).toEqual(new Set([clusters[l1Index]]));
      visited.push(clusters[l1Index]!);
    },
  );
  expect(visited).toEqual([...clusters].reverse());
  expect(most).toBeGreaterThanOrEqual(8);
});
