/**
 * Scans the L2 tables of an L1 table once, for their content and for the host clusters that they name.
 */
import { divideUp } from '../bytes/align.ts';
import { setBit } from '../bytes/bits.ts';
import type { Brand } from '../bytes/brand.ts';
import {
  type HostOffset,
  type HostRange,
  hostOffset,
  guestOffset as toGuestOffset,
} from '../format/addresses.ts';
import { hex } from '../format/format-error.ts';
import {
  guestBytesPerL2Table,
  type Header,
  l2EntriesPerTable,
  l2EntryBytes,
  subclustersPerCluster,
} from '../format/header.ts';
import { type Cluster, type Content, contentMask, decodeL2Entry } from '../format/l2-entry.ts';
import { kernelArrays } from '../format/l2-kernel.ts';
import { scanL2Tables } from '../format/l2-scan.ts';
import { readL2Entry } from '../format/l2-table.ts';
import { addRange, fileClusterCount, type GrowingHostClusters, needsCheck } from './host-clusters.ts';
import { type ActiveTables, type Image, l2TableCount, naming, requireInside } from './image.ts';
import { mostTableBytes, type TableReading, tableRoomBytes, visitTables } from './read-tables.ts';

export interface TableVisitor {
  readonly content: Content;
  /**
   * Called for all L2 tables, for one or for those of successive L1 entries. `units` has one bit for each of
   * their clusters (subclusters with extended L2 entries), set if it has the content. The array is valid only
   * during the call.
   */
  onTables(l1Index: number, units: Uint8Array): void;
}

/** A pass over L2 tables: the set that it fills, and its buffers. They all share one memory of the kernel. */
export interface TablePass {
  readonly image: Image;
  /** Every host cluster that the tables name, themselves included. */
  readonly named: GrowingHostClusters;
  /** The buffer for the tables. */
  readonly room: Uint8Array;
  /** The buffer for the bits of the tables of one visit. */
  readonly units: Uint8Array;
}

/** A scan of all active L2 tables. The only census of the scan continues the pass with other tables. */
export type Scan = Brand<{ readonly tables: ActiveTables; readonly pass: TablePass }, 'scan'>;

/**
 * @param visitor undefined when only the host clusters matter
 * @throws RefusedError when an entry breaks the specification or points beyond the end of the file
 */
export async function scanActiveTables(
  tables: ActiveTables,
  visitor: TableVisitor | undefined,
  reading: TableReading,
): Promise<Scan> {
  const pass = newPass(tables);
  await passOver(pass, tables.l2Offsets, visitor, reading);
  return { tables, pass } as Scan;
}

function newPass({ image, l2Offsets }: ActiveTables): TablePass {
  const { header } = image;
  const clusterCount = fileClusterCount(image);
  const [bits, room, units] = kernelArrays(
    divideUp(clusterCount, 8),
    tableRoomBytes(image, l2TableCount(l2Offsets)),
    unitBytes(mostTableBytes(image), header),
  );
  return { image, named: { clusterCount, bits: bits! }, room: room!, units: units! };
}

/** The size of one bit for each cluster or subcluster of the tables. */
function unitBytes(tableBytes: number, header: Header): number {
  return (tableBytes / l2EntryBytes(header)) * (subclustersPerCluster(header) / 8);
}

/** @param l2Offsets the offsets of any L2 tables of the image */
export async function passOver(
  pass: TablePass,
  l2Offsets: Float64Array,
  visitor: TableVisitor | undefined,
  reading: TableReading,
): Promise<void> {
  const { image, named, room, units } = pass;
  const { header } = image;
  const { clusterSizeBytes } = header;
  const content = visitor?.content ?? 'allocated';
  const fast = { allocated: units, referenced: named.bits, hostClusterCount: named.clusterCount };
  const visit = (l1Index: number, tables: Uint8Array): void => {
    addRange(named, { offset: hostOffset(l2Offsets[l1Index]!), length: tables.length }, header);
    // The fast pass finds only `allocated` content.
    const isScanned = content === 'allocated' && scanL2Tables(tables, header, fast);
    // Often only one of the tables has such an entry, and decoding takes much longer than another scan.
    if (!isScanned && tables.length > clusterSizeBytes) {
      for (let at = 0; at < tables.length; at += clusterSizeBytes) {
        visit(l1Index + at / clusterSizeBytes, tables.subarray(at, at + clusterSizeBytes));
      }
      return;
    }
    if (!isScanned) decodeTable(pass, tables, l1Index, content);
    visitor?.onTables(l1Index, units.subarray(0, unitBytes(tables.length, header)));
  };
  await visitTables(image, l2Offsets, room, visit, reading);
}

function decodeTable(
  { image, named, units }: TablePass,
  table: Uint8Array,
  l1Index: number,
  content: Content,
): void {
  const { storage, header } = image;
  const { clusterSizeBytes } = header;
  const unitsPerCluster = subclustersPerCluster(header);
  const tableOffset = l1Index * guestBytesPerL2Table(header);
  units.fill(0, 0, unitBytes(table.length, header));
  naming(storage, () => {
    for (let index = 0; index < l2EntriesPerTable(header); index++) {
      const guestOffset = toGuestOffset(tableOffset + index * clusterSizeBytes);
      const cluster = decodeL2Entry(readL2Entry(table, index, header), guestOffset, header);
      const mask = contentMask(cluster, content, header);
      for (let unit = 0; unit < unitsPerCluster; unit++) {
        if (((mask >>> unit) & 1) !== 0) setBit(units, index * unitsPerCluster + unit);
      }
      const host = hostRange(cluster, header);
      if (host !== undefined) {
        const what = () => `the cluster of disk offset ${hex(guestOffset)}`;
        requireInside(storage, what, { offset: host.offset, length: 1 });
        requireBehindHeader(image, what, host.offset);
        addRange(named, host, header);
      }
    }
  });
}

/** The range that the cluster occupies in the image file itself. */
export function hostRange(
  cluster: Cluster,
  { clusterSizeBytes, hasDataFile }: Header,
): HostRange | undefined {
  switch (cluster.kind) {
    case 'unallocated':
      return undefined;
    case 'compressed':
      return { offset: cluster.hostOffset, length: cluster.lengthBytes };
    case 'data':
    case 'zero':
    case 'subclusters':
      if (cluster.hostOffset === undefined || hasDataFile) return undefined;
      return { offset: cluster.hostOffset, length: clusterSizeBytes };
  }
}

/** Only compressed data can lie in the header. In other entries, offset 0 means "none". */
function requireBehindHeader(image: Image, what: () => string, offset: HostOffset): void {
  if (offset >= image.header.clusterSizeBytes) return;
  throw needsCheck(image, `${what()} at ${hex(offset)} lies in the header`);
}
