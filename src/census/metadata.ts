/**
 * Finds the host clusters of metadata other than the disk and the bitmaps.
 */
import { divideUp } from '../bytes/align.ts';
import { getBit, newBits, setBit } from '../bytes/bits.ts';
import { RefusedError } from '../errors.ts';
import type { HostRange } from '../format/addresses.ts';
import { L1_ENTRY_BYTES } from '../format/header.ts';
import { encryptionHeader } from '../format/header-extensions.ts';
import { REFCOUNT_TABLE_ENTRY_BYTES } from '../format/refcounts.ts';
import {
  MAX_SNAPSHOT_TABLE_BYTES,
  parseSnapshotTable,
  type SnapshotTable,
} from '../format/snapshot-table.ts';
import { addRange, needsCheck } from '../image/host-clusters.ts';
import { type Image, naming, readInside, readL1Table, requireOwnClusters } from '../image/image.ts';
import type { TableReading } from '../image/read-tables.ts';
import type { Refcounts } from '../image/refcount-table.ts';
import { passOver, type Scan } from '../image/scan.ts';

/** A structure that must not share its clusters. */
export interface Structure extends HostRange {
  /** Its name in messages. */
  readonly what: string;
}

/** The image's own structures except header and refcount blocks. */
export function ownStructures({ storage, header, extensions }: Image, refcounts: Refcounts): Structure[] {
  const encryption = naming(storage, () => encryptionHeader(extensions, header));
  return [
    {
      what: 'the active L1 table',
      offset: header.l1TableOffset,
      length: header.l1EntryCount * L1_ENTRY_BYTES,
    },
    ...(encryption === undefined ? [] : [{ what: 'the encryption header', ...encryption }]),
    {
      what: 'the refcount table',
      offset: header.refcountTableOffset,
      length: refcounts.blockOffsets.length * REFCOUNT_TABLE_ENTRY_BYTES,
    },
  ];
}

/**
 * Adds all clusters of the internal snapshots to the set of the scan's pass.
 *
 * @throws RefusedError when the snapshot table, or a table of a snapshot, cannot be read or breaks the
 * specification
 */
export async function addSnapshots({ tables, pass }: Scan, reading: TableReading): Promise<void> {
  const { image, named } = pass;
  const { header } = image;
  if (header.snapshotCount === 0) return;
  if (header.snapshotsOffset === 0) throw needsCheck(image, 'the snapshot table lies in the header');
  const { snapshots, sizeBytes } = await readSnapshotTable(image);
  addRange(named, { offset: header.snapshotsOffset, length: sizeBytes }, header);

  const scanned = newBits(named.clusterCount);
  const firstTime = (offset: number): boolean => {
    const cluster = offset / header.clusterSizeBytes;
    if (offset === 0 || (cluster < named.clusterCount && getBit(scanned, cluster))) return false;
    if (cluster < named.clusterCount) setBit(scanned, cluster);
    return true;
  };
  // Snapshots share many of the active tables.
  tables.l2Offsets.forEach(firstTime);
  const seen = new Set<string>();
  let tableClusters = 0;
  for (const [index, { l1TableOffset, l1EntryCount }] of snapshots.entries()) {
    reading.signal?.throwIfAborted();
    // Each snapshot has its own table, but a broken image may name one table many times.
    const table = `${l1TableOffset} ${l1EntryCount}`;
    if (seen.has(table)) continue;
    seen.add(table);
    tableClusters += divideUp(l1EntryCount * L1_ENTRY_BYTES, header.clusterSizeBytes);
    requireOwnClusters(image, 'the L1 tables of its snapshots', tableClusters);
    const what = `the L1 table of snapshot ${index}`;
    const l2Offsets = await readL1Table(image, what, l1TableOffset, l1EntryCount);
    addRange(named, { offset: l1TableOffset, length: l1EntryCount * L1_ENTRY_BYTES }, header);
    const unscanned = l2Offsets.map((offset) => (firstTime(offset) ? offset : 0));
    await passOver(pass, unscanned, undefined, reading);
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
      remedy: { kind: 'check', file: storage.name },
      context: { file: storage.name },
    },
  );
}
