/**
 * Reads compressed clusters of one image; what was just decompressed is kept for whoever needs its other part.
 */
import { alignDown } from '../bytes/align.ts';
import { RefusedError } from '../errors.ts';
import { hex } from '../format/format-error.ts';
import { type ClusterLookup, openClusterLookup } from '../image/cluster-lookup.ts';
import type { Image } from '../image/image.ts';
import { readBytes } from '../storage/storage.ts';
import { decompressCluster } from './decompress.ts';

/** Reads that run at the same time meet in no more clusters than that. */
const CLUSTERS_KEPT = 4;

export interface CompressedClusters {
  /** Fills `into` with what the disk has from `offset`; all of it must lie in compressed clusters. */
  read(offset: number, into: Uint8Array): Promise<void>;
}

export function compressedClusters(image: Image): CompressedClusters {
  const { clusterSizeBytes } = image.header;
  const kept = new Map<number, Promise<Uint8Array>>();
  let lookup: Promise<ClusterLookup> | undefined;

  function cluster(guestOffset: number): Promise<Uint8Array> {
    const present = kept.get(guestOffset);
    if (present !== undefined) return present;
    lookup ??= openClusterLookup(image);
    const content = lookup.then((found) => readCluster(image, found, guestOffset));
    kept.set(guestOffset, content);
    if (kept.size > CLUSTERS_KEPT) kept.delete(kept.keys().next().value!);
    return content;
  }

  return {
    async read(offset, into) {
      for (let done = 0; done < into.length; ) {
        const start = alignDown(offset + done, clusterSizeBytes);
        const from = offset + done - start;
        const part = (await cluster(start)).subarray(from, from + into.length - done);
        into.set(part, done);
        done += part.length;
      }
    },
  };
}

async function readCluster(image: Image, lookup: ClusterLookup, guestOffset: number): Promise<Uint8Array> {
  const { storage, header } = image;
  const found = await lookup.find(guestOffset);
  if (found.kind !== 'compressed') {
    throw new Error(`${storage.name}: the cluster at ${hex(guestOffset)} is no longer compressed`);
  }
  const stored = await readBytes(storage, found.hostOffset, found.lengthBytes);
  try {
    return await decompressCluster(stored, header);
  } catch (cause) {
    throw new RefusedError(
      'INVALID_IMAGE',
      `${storage.name}: the compressed cluster of disk offset ${hex(guestOffset)} at ${hex(found.hostOffset)} cannot be decompressed: ${(cause as Error).message}`,
      { cause, hint: 'Restore the image from a good copy.', context: { file: storage.name } },
    );
  }
}
