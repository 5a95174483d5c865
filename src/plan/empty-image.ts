/**
 * Plans a new qcow2 image that holds nothing: its header, its refcounts, and an L1 table without entries.
 */
import { divideUp } from '../bytes/align.ts';
import { headerStruct, L1_ENTRY_BYTES, MAGIC } from '../format/header.ts';
import { encodeRefcountTableEntries, writeRefcount } from '../format/refcounts.ts';
import { flush, type Plan, write } from './plan.ts';

/** What qemu-img create takes where nothing else is said. */
const CLUSTER_BITS = 16;
const REFCOUNT_ORDER = 4;

/**
 * Version 3, with clusters of 64 KiB and no backing file.
 *
 * @param virtualSizeBytes a multiple of 512, of a disk whose L1 table QEMU takes: up to 2 PiB
 */
export function planEmptyImage(virtualSizeBytes: number): Plan {
  const clusterBytes = 2 ** CLUSTER_BITS;
  const l1Size = divideUp(virtualSizeBytes, clusterBytes * (clusterBytes / L1_ENTRY_BYTES));
  const [refcountTableOffset, refcountBlockOffset, l1TableOffset] = [1, 2, 3].map((n) => n * clusterBytes);
  const l1Clusters = divideUp(l1Size * L1_ENTRY_BYTES, clusterBytes);
  const clusterCount = 3 + l1Clusters;

  const header = new Uint8Array(clusterBytes);
  headerStruct.write(header, {
    magic: MAGIC,
    version: 3,
    backingFileOffset: 0,
    backingFileSize: 0,
    clusterBits: CLUSTER_BITS,
    size: virtualSizeBytes,
    cryptMethod: 0,
    l1Size,
    l1TableOffset: l1TableOffset!,
    refcountTableOffset: refcountTableOffset!,
    refcountTableClusters: 1,
    nbSnapshots: 0,
    snapshotsOffset: 0,
    incompatibleFeatures: 0n,
    compatibleFeatures: 0n,
    autoclearFeatures: 0n,
    refcountOrder: REFCOUNT_ORDER,
    headerLength: headerStruct.sizeBytes,
  });
  const refcountTable = new Uint8Array(clusterBytes);
  refcountTable.set(encodeRefcountTableEntries(Float64Array.of(refcountBlockOffset!)));
  const refcountBlock = new Uint8Array(clusterBytes);
  for (let cluster = 0; cluster < clusterCount; cluster++) {
    writeRefcount(refcountBlock, cluster, REFCOUNT_ORDER, 1n);
  }
  const steps = [
    write(refcountTableOffset!, refcountTable, 'refcount table'),
    write(refcountBlockOffset!, refcountBlock, 'refcount block 0'),
    write(l1TableOffset!, new Uint8Array(l1Clusters * clusterBytes), 'L1 table'),
    write(0, header, 'header'),
    flush('new image'),
  ];
  return {
    steps,
    commitIndex: steps.length - 1,
    claimedClusters: clusterCount,
    releasedClusters: 0,
    newEndOffset: clusterCount * clusterBytes,
  };
}
