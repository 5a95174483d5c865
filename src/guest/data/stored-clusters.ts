/**
 * Reads the compressed data of clusters: those that lie one behind the other in the file, as they do when QEMU wrote
 * them in a row, come in one read.
 */
import { readBytes, type Storage } from '../../storage/storage.ts';

export interface StoredCluster {
  readonly guestOffset: number;
  readonly hostOffset: number;
  /** Of the compressed data and what follows it in its last sector. */
  readonly lengthBytes: number;
}

/** One read brings no more, unless a single cluster does. */
const SPAN_BYTES = 1024 * 1024;

/** Bytes [start, end) of the file, in which all of `clusters` lie. */
interface Span {
  readonly start: number;
  end: number;
  readonly clusters: StoredCluster[];
}

/** @returns each of the clusters, in their order, with its data */
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
    // Data begins in the sector in which that before it ends.
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
