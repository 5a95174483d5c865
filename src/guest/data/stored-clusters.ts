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
const SPAN_BYTES = 1024 * 1024;

/** Bytes [start, end) of the file. They contain all of `clusters`. */
interface Span {
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
    spans(clusters).map(async ({ start, end, clusters: inside }) => {
      const bytes = await readBytes(storage, start, end - start);
      return inside.map((cluster) => {
        const from = cluster.hostOffset - start;
        return { ...cluster, bytes: bytes.subarray(from, from + cluster.lengthBytes) };
      });
    }),
  );
  return read.flat();
}

function spans(clusters: readonly StoredCluster[]): Span[] {
  const found: Span[] = [];
  for (const cluster of clusters) {
    const { hostOffset, lengthBytes } = cluster;
    const span = found.at(-1);
    const end = hostOffset + lengthBytes;
    // The data of a cluster may begin in the sector where the previous data ends.
    const goesOn = span !== undefined && hostOffset >= span.start && hostOffset <= span.end;
    if (goesOn && end - span.start <= SPAN_BYTES) {
      span.end = Math.max(span.end, end);
      span.clusters.push(cluster);
    } else {
      found.push({ start: hostOffset, end, clusters: [cluster] });
    }
  }
  return found;
}
