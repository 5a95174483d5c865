/**
 * Passes once over the L2 tables of an L1 table: what they hold, and which host clusters they name.
 */
import { setBit } from '../bytes/bits.ts';
import { addRange, type HostClusters, needsCheck } from '../census/host-clusters.ts';
import { hex } from '../format/format-error.ts';
import {
  guestBytesPerL2Table,
  type Header,
  l2EntriesPerTable,
  subclustersPerCluster,
} from '../format/header.ts';
import { type Cluster, type Content, contentMask, decodeL2Entry } from '../format/l2-entry.ts';
import { scanL2Table } from '../format/l2-scan.ts';
import { readL2Entry } from '../format/l2-table.ts';
import { type Image, naming, requireInside } from './image.ts';
import { type L2Reading, visitL2Tables } from './read-l2-tables.ts';

export interface TableScan {
  readonly content: Content;
  /**
   * Gets, for each L2 table, one bit for each cluster (subcluster with extended L2 entries) that has the content;
   * valid only during the call.
   */
  onTable(l1Index: number, units: Uint8Array): void;
}

/**
 * @param referenced receives the host clusters of data, and of the L2 tables themselves
 * @param scan undefined when only the references matter
 * @throws RefusedError when an entry breaks the specification or points beyond the end of the file
 */
export async function scanL2Tables(
  image: Image,
  l2Offsets: Float64Array,
  referenced: HostClusters,
  scan: TableScan | undefined,
  reading: L2Reading,
): Promise<void> {
  const { header } = image;
  const content = scan?.content ?? 'held';
  const { tables, units } = referenced;
  const fast = {
    allocated: units,
    referenced: referenced.bits,
    hostClusterCount: referenced.clusterCount,
  };
  await visitL2Tables(
    image,
    l2Offsets,
    tables,
    (l1Index, table) => {
      addRange(referenced, image, l2Offsets[l1Index]!, header.clusterSizeBytes);
      // The fast pass tells held from not held, nothing finer.
      const done = scanL2Table(table, header, fast) && content === 'held';
      if (!done) decodeTable(image, table, l1Index, referenced, content, units);
      scan?.onTable(l1Index, units);
    },
    reading,
  );
}

function decodeTable(
  image: Image,
  table: Uint8Array,
  l1Index: number,
  referenced: HostClusters,
  content: Content,
  units: Uint8Array,
): void {
  const { storage, header } = image;
  const { clusterSizeBytes } = header;
  const unitsPerCluster = subclustersPerCluster(header);
  const tableOffset = l1Index * guestBytesPerL2Table(header);
  units.fill(0);
  naming(storage, () => {
    for (let index = 0; index < l2EntriesPerTable(header); index++) {
      const guestOffset = tableOffset + index * clusterSizeBytes;
      const cluster = decodeL2Entry(readL2Entry(table, index, header), guestOffset, header);
      const mask = contentMask(cluster, content, header);
      for (let unit = 0; unit < unitsPerCluster; unit++) {
        if (((mask >>> unit) & 1) !== 0) setBit(units, index * unitsPerCluster + unit);
      }
      const host = hostRange(cluster, header);
      if (host !== undefined) {
        const what = `the cluster of disk offset ${hex(guestOffset)}`;
        requireInside(storage, what, host.offset, 1);
        requireBehindHeader(image, what, host.offset);
        addRange(referenced, image, host.offset, host.lengthBytes);
      }
    }
  });
}

/** What the cluster occupies in the image file itself. */
export function hostRange(
  cluster: Cluster,
  { clusterSizeBytes, hasDataFile }: Header,
): { offset: number; lengthBytes: number } | undefined {
  switch (cluster.kind) {
    case 'unallocated':
      return undefined;
    case 'compressed':
      return { offset: cluster.hostOffset, lengthBytes: cluster.lengthBytes };
    case 'data':
    case 'zero':
    case 'subclusters':
      if (cluster.hostOffset === undefined || hasDataFile) return undefined;
      return { offset: cluster.hostOffset, lengthBytes: clusterSizeBytes };
  }
}

/** Only compressed data can be said to lie there: in other entries such an offset means none. */
function requireBehindHeader(image: Image, what: string, offset: number): void {
  if (offset >= image.header.clusterSizeBytes) return;
  throw needsCheck(image, `${what} at ${hex(offset)} lies in the header`);
}
