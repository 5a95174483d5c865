/**
 * Reads the compressed data of clusters. Data that is contiguous in the file comes in one read. QEMU places
 * sequential writes this way.
 */
import { readBytes, type Storage } from '../../storage/storage.ts';

export interface StoredCluster {
  readonly guestOffset: number;
  readonly hostOffset: number;
  /** Length of the compressed data and the rest of its last sector. */
  readonly lengthBytes: number;
}

/** Maximum size of one read, unless a single cluster is larger. */
const MAX_READ_BYTES = 1024 * 1024;

/** Bytes [start, end) of the file. They contain all of `clusters`. */
interface CombinedRead {
  readonly start: number;
  end: number;
  readonly clusters: StoredCluster[];
}

/** @returns the clusters in the given order, with their data */
export async function readStored(
  storage: Storage,
  clusters: readonly StoredCluster[],
): Promise<(StoredCluster & { readonly bytes: Uint8Array })[]> {
  const read = await Promise.all(
    combinedReads(clusters).map(async ({ start, end, clusters: inside }) => {
      const bytes = await readBytes(storage, start, end - start);
      return inside.map((cluster) => {
        const from = cluster.hostOffset - start;
        return { ...cluster, bytes: bytes.subarray(from, from + cluster.lengthBytes) };
      });
    }),
  );
  return read.flat();
}

function combinedReads(clusters: readonly StoredCluster[]): CombinedRead[] {
  const found: CombinedRead[] = [];
  for (const cluster of clusters) {
    const { hostOffset, lengthBytes } = cluster;
    const last = found.at(-1);
    const end = hostOffset + lengthBytes;
    // The data of a cluster may begin in the sector where the previous data ends.
    const goesOn = last !== undefined && hostOffset >= last.start && hostOffset <= last.end;
    if (goesOn && end - last.start <= MAX_READ_BYTES) {
      last.end = Math.max(last.end, end);
      last.clusters.push(cluster);
    } else {
      found.push({ start: hostOffset, end, clusters: [cluster] });
    }
  }
  return found;
}
