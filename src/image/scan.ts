/**
 * Passes once over the L2 tables of an L1 table: what they hold, and which host clusters they name.
 */
import { newBits, setBits } from '../bytes/bits.ts';
import { hex } from '../format/format-error.ts';
import {
  guestBytesPerL2Table,
  type Header,
  l2EntriesPerTable,
  subclustersPerCluster,
} from '../format/header.ts';
import { allocatedMask, type Cluster, decodeL2Entry } from '../format/l2-entry.ts';
import { scanL2Table } from '../format/l2-scan.ts';
import { readL2Entry } from '../format/l2-table.ts';
import { addRange, type HostClusters } from './host-clusters.ts';
import { type Image, naming, requireInside } from './image.ts';
import { type L2Reading, visitL2Tables } from './l2-tables.ts';

/**
 * @param referenced receives the host clusters of data, and of the L2 tables themselves
 * @param onTable gets, for each L2 table, one bit for each cluster (subcluster with extended L2 entries) that the
 * image itself holds; valid only during the call
 * @throws RefusedError when an entry breaks the specification or points beyond the end of the file
 */
export async function scanL2Tables(
  image: Image,
  l2Offsets: Float64Array,
  referenced: HostClusters,
  onTable?: (l1Index: number, allocated: Uint8Array) => void,
  reading: L2Reading = {},
): Promise<void> {
  const { header } = image;
  const allocated = newBits(l2EntriesPerTable(header) * subclustersPerCluster(header));
  const scan = { allocated, referenced: referenced.bits, hostClusterCount: referenced.clusterCount };
  await visitL2Tables(
    image,
    l2Offsets,
    (l1Index, table) => {
      addRange(referenced, image, l2Offsets[l1Index]!, header.clusterSizeBytes);
      if (!scanL2Table(table, header, scan)) decodeTable(image, table, l1Index, referenced, allocated);
      onTable?.(l1Index, allocated);
    },
    reading,
  );
}

function decodeTable(
  image: Image,
  table: Uint8Array,
  l1Index: number,
  referenced: HostClusters,
  allocated: Uint8Array,
): void {
  const { storage, header } = image;
  const { clusterSizeBytes } = header;
  const unitsPerCluster = subclustersPerCluster(header);
  const tableOffset = l1Index * guestBytesPerL2Table(header);
  allocated.fill(0);
  naming(storage, () => {
    for (let index = 0; index < l2EntriesPerTable(header); index++) {
      const guestOffset = tableOffset + index * clusterSizeBytes;
      const cluster = decodeL2Entry(readL2Entry(table, index, header), guestOffset, header);
      const mask = allocatedMask(cluster, header);
      for (let unit = 0; unit < unitsPerCluster; unit++) {
        const at = index * unitsPerCluster + unit;
        if (((mask >>> unit) & 1) !== 0) setBits(allocated, at, at + 1);
      }
      const host = hostRange(cluster, header);
      if (host !== undefined) {
        requireInside(storage, `the cluster of disk offset ${hex(guestOffset)}`, host.offset, 1);
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
