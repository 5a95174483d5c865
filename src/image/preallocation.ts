/**
 * Detects whether an image has clusters that were never written.
 */
import { divideUp } from '../bytes/align.ts';
import { RefusedError } from '../errors.ts';
import { clustersPerRefcountBlock, isFree } from '../format/refcounts.ts';
import type { Image } from './image.ts';
import { readRefcountBlock, readRefcountTable } from './refcount-table.ts';

/**
 * QEMU's rule (qcow2_detect_metadata_preallocation). The number of clusters with a refcount exceeds the
 * number of clusters on disk by at least a ninth, and by at least two.
 */
export async function seemsPreallocated(image: Image, bytesOnDisk: number): Promise<boolean> {
  const { storage, header } = image;
  const roomClusters = Math.floor(bytesOnDisk / header.clusterSizeBytes);
  const enough = Math.max(Math.floor((roomClusters * 10) / 9), roomClusters + 2);
  const fileClusters = divideUp(storage.sizeBytes, header.clusterSizeBytes);
  if (fileClusters < enough) return false;
  try {
    return (await countUsed(image, fileClusters, enough)) >= enough;
  } catch (error) {
    // Broken refcounts give no answer here. The inspection reports them.
    if (error instanceof RefusedError) return false;
    throw error;
  }
}

/** Counts clusters with a refcount, and stops at `enough`. */
async function countUsed(image: Image, fileClusters: number, enough: number): Promise<number> {
  const { header } = image;
  const refcounts = await readRefcountTable(image);
  const perBlock = clustersPerRefcountBlock(header);
  let used = 0;
  for (let start = 0; start < fileClusters && used < enough; start += perBlock) {
    const block = await readRefcountBlock(image, refcounts, start / perBlock);
    if (block === undefined) continue;
    const count = Math.min(perBlock, fileClusters - start);
    for (let index = 0; index < count && used < enough; index++) {
      if (!isFree(block, index, header.refcountOrder)) used++;
    }
  }
  return used;
}
