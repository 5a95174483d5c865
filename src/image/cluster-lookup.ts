/**
 * Looks up single clusters of an image by their offset on its disk.
 */
import { type GuestOffset, hostOffset } from '../format/addresses.ts';
import { guestBytesPerL2Table } from '../format/header.ts';
import { type Cluster, decodeL2Entry } from '../format/l2-entry.ts';
import { readL2Entry } from '../format/l2-table.ts';
import { type Image, naming, readActiveTables, readInside } from './image.ts';

export interface ClusterLookup {
  /** @param guestOffset the start of the cluster, in bytes of the disk */
  find(guestOffset: GuestOffset): Promise<Cluster>;
}

/** Keeps the L1 table and the last L2 table, so that lookups in disk order read each table once. */
export async function clusterLookup(image: Image): Promise<ClusterLookup> {
  const { storage, header } = image;
  const { l2Offsets } = await readActiveTables(image);
  const tableBytes = guestBytesPerL2Table(header);
  let lastIndex = -1;
  let lastTable: Promise<Uint8Array> | undefined;

  return {
    async find(guestOffset) {
      const l1Index = Math.floor(guestOffset / tableBytes);
      const l2Offset = l2Offsets[l1Index]!;
      if (l2Offset === 0) return { kind: 'unallocated' };
      if (l1Index !== lastIndex || lastTable === undefined) {
        lastIndex = l1Index;
        lastTable = readInside(image, `L2 table ${l1Index}`, hostOffset(l2Offset), header.clusterSizeBytes);
      }
      const table = await lastTable;
      const index = (guestOffset % tableBytes) / header.clusterSizeBytes;
      return naming(storage, () => decodeL2Entry(readL2Entry(table, index, header), guestOffset, header));
    },
  };
}
