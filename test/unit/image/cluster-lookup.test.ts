/** Lookup of single clusters by their offset on the disk. Each table is read once if the order is that of the disk. */
import { expect, test } from 'vitest';
import { guestOffset } from '../../../src/format/addresses.ts';
import { clusterLookup } from '../../../src/image/cluster-lookup.ts';
import { openImage } from '../../../src/image/image.ts';
import { memoryStorage } from '../../support/memory.ts';
import { storedHeader } from '../format/stored-header.ts';

/** One L2 table covers 64 clusters of 512 bytes. */
const TABLE_BYTES = 64 * 512;

test('a lookup finds the entry of each cluster, and reads no table twice in succession', async () => {
  const bytes = new Uint8Array(10 * 512);
  bytes.set(storedHeader({ cluster_bits: 9, size: 3 * TABLE_BYTES, l1_size: 3, l1_table_offset: 1024 }));
  const data = new DataView(bytes.buffer);
  // The second part of the disk has no table.
  data.setBigUint64(1024, 3n * 512n);
  data.setBigUint64(1024 + 16, 4n * 512n);
  data.setBigUint64(3 * 512, 5n * 512n);
  data.setBigUint64(3 * 512 + 63 * 8, 1n);
  data.setBigUint64(4 * 512 + 8, 6n * 512n);
  const reads: number[] = [];
  const storage = memoryStorage(bytes, { name: 'disk.qcow2' });
  const lookup = await clusterLookup(
    await openImage({
      ...storage,
      sizeBytes: bytes.length,
      read: (offset, into) => {
        reads.push(offset / 512);
        return storage.read(offset, into);
      },
    }),
  );
  const find = (offset: number) => lookup.find(guestOffset(offset));
  reads.length = 0;
  expect(await find(0)).toMatchObject({ kind: 'data', hostOffset: 5 * 512 });
  expect(await find(512)).toEqual({ kind: 'unallocated' });
  expect(await find(63 * 512)).toMatchObject({ kind: 'zero' });
  expect(await find(TABLE_BYTES)).toEqual({ kind: 'unallocated' });
  expect(await find(0)).toMatchObject({ kind: 'data' });
  expect(reads).toEqual([3]);
  expect(await find(2 * TABLE_BYTES + 512)).toMatchObject({ kind: 'data', hostOffset: 6 * 512 });
  expect(await find(2 * TABLE_BYTES)).toEqual({ kind: 'unallocated' });
  expect(reads).toEqual([3, 4]);
  expect(await find(0)).toMatchObject({ kind: 'data', hostOffset: 5 * 512 });
  expect(reads).toEqual([3, 4, 3]);
});

test('a broken entry is reported with the name of the file', async () => {
  const bytes = new Uint8Array(10 * 512);
  bytes.set(storedHeader({ cluster_bits: 9, size: TABLE_BYTES, l1_size: 1, l1_table_offset: 1024 }));
  const data = new DataView(bytes.buffer);
  data.setBigUint64(1024, 3n * 512n);
  data.setBigUint64(3 * 512, 5n * 512n + 16n);
  const { find } = await clusterLookup(await openImage(memoryStorage(bytes, { name: 'disk.qcow2' })));
  await expect(find(guestOffset(0))).rejects.toThrow(/^disk\.qcow2: /);
  expect(await find(guestOffset(512))).toEqual({ kind: 'unallocated' });
});
