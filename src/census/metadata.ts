/**
 * Every host cluster that anything in an image points at, so that none of them is ever taken for free.
 *
 * QEMU trusts refcounts alone. In an image whose refcounts are too low that would overwrite somebody's data.
 */

import { divideUp } from '../bytes/align.ts';
import { getBit, newBits, setBit } from '../bytes/bits.ts';
import { RefusedError } from '../errors.ts';
import { L1_ENTRY_BYTES } from '../format/header.ts';
import { encryptionHeader } from '../format/header-extensions.ts';
import { REFCOUNT_TABLE_ENTRY_BYTES } from '../format/refcounts.ts';
import {
  MAX_SNAPSHOT_TABLE_BYTES,
  parseSnapshotTable,
  type SnapshotTable,
} from '../format/snapshot-table.ts';
import { type Image, naming, readInside, readL1Table, requireOwnClusters } from '../image/image.ts';
import type { L2Reading } from '../image/read-l2-tables.ts';
import type { Refcounts } from '../image/refcount-table.ts';
import { scanL2Tables } from '../image/scan.ts';
import { shellPath } from '../text/shell-word.ts';
import { addOwnRange, addRange, type HostClusters, needsCheck } from './host-clusters.ts';

/** Puts what a structure occupies into the set; it has its clusters for itself. */
export type AddOwn = (what: string, offset: number, lengthBytes: number) => void;

/**
 * Adds what the image's own structures occupy, bitmaps and the active L2 tables excepted: header, active L1 table,
 * refcount table and blocks, encryption header, and the internal snapshots with all they hold.
 *
 * @param activeL2Offsets L2 tables that the caller scans; snapshots share many of them
 * @param addOwn where an overlap is not to be refused
 * @throws RefusedError when one of the structures overlaps something else: refcounts written over somebody's data would
 * destroy it
 */
export async function addMetadata(
  image: Image,
  referenced: HostClusters,
  refcounts: Refcounts,
  activeL2Offsets: Float64Array,
  reading: L2Reading,
  addOwn: AddOwn = (...range) => addOwnRange(referenced, image, ...range),
): Promise<void> {
  const { header, extensions, storage } = image;
  const { clusterSizeBytes } = header;
  await addSnapshots(image, referenced, activeL2Offsets, reading);
  addRange(referenced, image, 0, clusterSizeBytes);
  addOwn('the active L1 table', header.l1TableOffset, header.l1EntryCount * L1_ENTRY_BYTES);
  const encryption = naming(storage, () => encryptionHeader(extensions, header));
  if (encryption !== undefined) addOwn('the encryption header', encryption.offset, encryption.length);
  const tableBytes = refcounts.blockOffsets.length * REFCOUNT_TABLE_ENTRY_BYTES;
  addOwn('the refcount table', header.refcountTableOffset, tableBytes);
  const { blockOffsets } = refcounts;
  for (let index = 0; index < blockOffsets.length; index++) {
    const offset = blockOffsets[index]!;
    if (offset !== 0) addOwn(`refcount block ${index}`, offset, clusterSizeBytes);
  }
}

async function addSnapshots(
  image: Image,
  referenced: HostClusters,
  activeL2Offsets: Float64Array,
  reading: L2Reading,
): Promise<void> {
  const { header } = image;
  if (header.snapshotCount === 0) return;
  if (header.snapshotsOffset === 0) throw needsCheck(image, 'the snapshot table lies in the header');
  const { snapshots, sizeBytes } = await readSnapshotTable(image);
  addRange(referenced, image, header.snapshotsOffset, sizeBytes);

  const scanned = newBits(referenced.clusterCount);
  const firstTime = (offset: number): boolean => {
    const cluster = offset / header.clusterSizeBytes;
    if (offset === 0 || (cluster < referenced.clusterCount && getBit(scanned, cluster))) return false;
    if (cluster < referenced.clusterCount) setBit(scanned, cluster);
    return true;
  };
  activeL2Offsets.forEach(firstTime);
  const seen = new Set<string>();
  let tableClusters = 0;
  for (const [index, { l1TableOffset, l1EntryCount }] of snapshots.entries()) {
    reading.signal?.throwIfAborted();
    // Snapshots have a table each; a broken image may name one many times.
    const table = `${l1TableOffset} ${l1EntryCount}`;
    if (seen.has(table)) continue;
    seen.add(table);
    tableClusters += divideUp(l1EntryCount * L1_ENTRY_BYTES, header.clusterSizeBytes);
    requireOwnClusters(image, 'the L1 tables of its snapshots', tableClusters);
    const what = `the L1 table of snapshot ${index}`;
    const l2Offsets = await readL1Table(image, what, l1TableOffset, l1EntryCount);
    addRange(referenced, image, l1TableOffset, l1EntryCount * L1_ENTRY_BYTES);
    const unscanned = l2Offsets.map((offset) => (firstTime(offset) ? offset : 0));
    await scanL2Tables(image, unscanned, referenced, undefined, reading);
  }
}

async function readSnapshotTable(image: Image): Promise<SnapshotTable> {
  const { storage, header } = image;
  const available = Math.min(storage.sizeBytes - header.snapshotsOffset, MAX_SNAPSHOT_TABLE_BYTES);
  for (let lengthBytes = Math.min(available, 64 * 1024); lengthBytes > 0; ) {
    const bytes = await readInside(image, 'the snapshot table', header.snapshotsOffset, lengthBytes);
    const table = naming(storage, () => parseSnapshotTable(bytes, header));
    if (table !== undefined) return table;
    if (lengthBytes === available) break;
    lengthBytes = Math.min(available, lengthBytes * 8);
  }
  throw new RefusedError(
    'INVALID_IMAGE',
    `${storage.name}: the snapshot table reaches beyond the end of the file`,
    {
      hint: `Look at it with "qemu-img check ${shellPath(storage.name)}".`,
      context: { file: storage.name },
    },
  );
}
