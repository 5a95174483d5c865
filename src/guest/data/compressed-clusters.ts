/**
 * Reads compressed clusters of one image. Caches clusters that are read in parts.
 */
import { alignDown } from '../../bytes/align.ts';
import { RefusedError } from '../../errors.ts';
import { guestOffset as toGuestOffset } from '../../format/addresses.ts';
import { hex } from '../../format/format-error.ts';
import { type ClusterLookup, clusterLookup } from '../../image/cluster-lookup.ts';
import type { Image } from '../../image/image.ts';
import { decompressCluster } from './decompress.ts';
import { readStored, type StoredCluster } from './stored-clusters.ts';

/** Concurrent reads share at most this number of clusters. */
const CLUSTERS_KEPT = 4;

export interface CompressedClusters {
  /** Fills `into` with the disk's data from `offset`. The whole range must lie in compressed clusters. */
  read(offset: number, into: Uint8Array): Promise<void>;
}

export function compressedClusters(image: Image): CompressedClusters {
  const { clusterSizeBytes } = image.header;
  const kept = new Map<number, Promise<Uint8Array>>();
  let lookup: Promise<ClusterLookup> | undefined;

  function keep(guestOffset: number, content: Promise<Uint8Array>): void {
    kept.set(guestOffset, content);
    if (kept.size > CLUSTERS_KEPT) kept.delete(kept.keys().next().value!);
  }

  /** Starts to read all of the clusters together and to decompress them in parallel. */
  function contents(guestOffsets: readonly number[]): Map<number, Promise<Uint8Array>> {
    lookup ??= clusterLookup(image);
    const stored = lookup
      .then((found) => findAll(image, found, guestOffsets))
      .then((clusters) => readStored(image.storage, clusters));
    const each = async (index: number) => decompressed(image, (await stored)[index]!);
    return new Map(guestOffsets.map((guestOffset, index) => [guestOffset, each(index)]));
  }

  return {
    async read(offset, into) {
      const end = offset + into.length;
      const missing: number[] = [];
      const first = alignDown(offset, clusterSizeBytes);
      for (let start = first; start < end; start += clusterSizeBytes) {
        if (!kept.has(start)) missing.push(start);
      }
      const clusters = new Map(kept);
      if (missing.length > 0) for (const [start, content] of contents(missing)) clusters.set(start, content);
      const copies: Promise<void>[] = [];
      for (let start = first; start < end; start += clusterSizeBytes) {
        copies.push(copy(start, clusters.get(start)!));
        if (start < offset || start + clusterSizeBytes > end) keep(start, clusters.get(start)!);
      }
      await Promise.all(copies);

      async function copy(start: number, content: Promise<Uint8Array>): Promise<void> {
        const from = Math.max(offset - start, 0);
        into.set((await content).subarray(from, end - start), start + from - offset);
      }
    },
  };
}

async function findAll(
  { storage }: Image,
  lookup: ClusterLookup,
  guestOffsets: readonly number[],
): Promise<StoredCluster[]> {
  const clusters: StoredCluster[] = [];
  for (const guestOffset of guestOffsets) {
    const found = await lookup.find(toGuestOffset(guestOffset));
    if (found.kind !== 'compressed') {
      throw new Error(`${storage.name}: the cluster at ${hex(guestOffset)} is no longer compressed`);
    }
    const { hostOffset, lengthBytes } = found;
    clusters.push({ guestOffset, hostOffset, lengthBytes });
  }
  return clusters;
}

async function decompressed(
  { storage, header }: Image,
  { guestOffset, hostOffset, bytes }: StoredCluster & { readonly bytes: Uint8Array },
): Promise<Uint8Array> {
  try {
    return await decompressCluster(bytes, header);
  } catch (cause) {
    throw new RefusedError(
      'INVALID_IMAGE',
      `${storage.name}: the compressed cluster of disk offset ${hex(guestOffset)} at ${hex(hostOffset)} cannot be decompressed: ${(cause as Error).message}`,
      { cause, remedy: { kind: 'restore-copy' }, context: { file: storage.name } },
    );
  }
}
