/**
 * Plans a new qcow2 image without data. It reads as its backing image or as zeros.
 */
import { divideUp } from '../bytes/align.ts';
import { censusOf } from '../census/census.ts';
import { hostOffset } from '../format/addresses.ts';
import { L1_ENTRY_BYTES, MAX_L1_TABLE_BYTES } from '../format/header.ts';
import { encodeHeaderCluster, type NewBacking } from '../format/new-header.ts';
import { encodeRefcountTableEntries, writeRefcount } from '../format/refcounts.ts';
import type { Image } from '../image/image.ts';
import type { BitmapSlot } from './bitmap-slot.ts';
import { flush, type Plan, type Step, write, writeHeader } from './plan.ts';
import { planBitmaps } from './plan-bitmaps.ts';

export interface NewImage {
  readonly virtualSizeBytes: number;
  readonly backing?: NewBacking | undefined;
}

/** QEMU's default. Larger clusters are used only if the L1 table would exceed QEMU's limit. */
const DEFAULT_CLUSTER_BITS = 16;
const REFCOUNT_ORDER = 4;

const REFCOUNT_TABLE_CLUSTER = 1;
const REFCOUNT_BLOCK_CLUSTER = 2;
const L1_TABLE_CLUSTER = 3;

/** @throws FormatError when the name of the backing image is too long */
export function planNewImage({ virtualSizeBytes, backing }: NewImage): Step[] {
  const clusterBits = clusterBitsFor(virtualSizeBytes);
  const clusterSizeBytes = 2 ** clusterBits;
  const l1EntryCount = l1EntriesFor(virtualSizeBytes, clusterBits);
  const l1Clusters = divideUp(l1EntryCount * L1_ENTRY_BYTES, clusterSizeBytes);

  const header = encodeHeaderCluster({
    clusterBits,
    virtualSizeBytes,
    l1EntryCount,
    l1TableOffset: L1_TABLE_CLUSTER * clusterSizeBytes,
    refcountTableOffset: REFCOUNT_TABLE_CLUSTER * clusterSizeBytes,
    refcountTableClusters: 1,
    refcountOrder: REFCOUNT_ORDER,
    backing,
  });
  const refcountTable = new Uint8Array(clusterSizeBytes);
  refcountTable.set(encodeRefcountTableEntries(Float64Array.of(REFCOUNT_BLOCK_CLUSTER * clusterSizeBytes)));
  // One block counts far more clusters than the longest L1 table takes.
  const refcountBlock = new Uint8Array(clusterSizeBytes);
  for (let cluster = 0; cluster < L1_TABLE_CLUSTER + l1Clusters; cluster++) {
    writeRefcount(refcountBlock, cluster, REFCOUNT_ORDER, 1n);
  }
  const at = (cluster: number) => hostOffset(cluster * clusterSizeBytes);
  return [
    writeHeader(0, header, 'header'),
    write(at(REFCOUNT_TABLE_CLUSTER), refcountTable, 'refcount table'),
    write(at(REFCOUNT_BLOCK_CLUSTER), refcountBlock, 'refcount block'),
    write(at(L1_TABLE_CLUSTER), new Uint8Array(l1Clusters * clusterSizeBytes), 'L1 table without entries'),
  ];
}

/**
 * Plans the image and its bitmaps.
 *
 * @param image opened from a planned file with the steps of `planNewImage`
 */
export async function planNewImageWithBitmaps(
  image: Image,
  emptySteps: readonly Step[],
  wanted: readonly BitmapSlot[],
): Promise<Plan> {
  const change = await planBitmaps(await censusOf(image), { present: [], wanted });
  const steps = [...emptySteps, flush('the image without bitmaps'), ...change.steps];
  const claimedClusters = divideUp(change.newEndOffset, image.header.clusterSizeBytes);
  return { ...change, steps, commitIndex: steps.length - 1, claimedClusters };
}

function clusterBitsFor(virtualSizeBytes: number): number {
  let clusterBits = DEFAULT_CLUSTER_BITS;
  while (l1EntriesFor(virtualSizeBytes, clusterBits) * L1_ENTRY_BYTES > MAX_L1_TABLE_BYTES) clusterBits++;
  return clusterBits;
}

/**
 * An L2 table fills one cluster with 8-byte entries. An L1 table has at least one entry, so it takes a
 * cluster.
 */
function l1EntriesFor(virtualSizeBytes: number, clusterBits: number): number {
  return Math.max(1, divideUp(virtualSizeBytes, 2 ** (clusterBits - 3) * 2 ** clusterBits));
}
