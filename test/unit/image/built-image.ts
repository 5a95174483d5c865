/** Small images in memory, laid out cluster by cluster by the byte numbers of the specification. */
import type { SoundCensus } from '../../../src/census/census.ts';
import { noHostClusters } from '../../../src/image/host-clusters.ts';
import { type Image, openImage } from '../../../src/image/image.ts';
import { type Refcounts, readRefcountTable } from '../../../src/image/refcount-table.ts';
import { memoryStorage } from '../../support/memory.ts';
import { storedHeader } from '../format/stored-header.ts';

export interface Layout {
  clusterBits: number;
  refcountOrder: number;
  /** Clusters of the file. */
  clusterCount: number;
  /** Clusters with a refcount above 0, in addition to those of the structures. */
  counted?: readonly number[];
  /** Refcount blocks that do not exist, by index. */
  missingBlocks?: readonly number[];
  canGrow?: boolean;
}

export interface BuiltImage {
  image: Image;
  refcounts: Refcounts;
  /** Every cluster whose refcount is not 0. */
  counted: Set<number>;
  perBlock: number;
}

/**
 * Header in cluster 0, refcount table in cluster 1, L1 table in cluster 2, the first refcount block in cluster 3, the
 * others behind it. All of them are counted, where there is a block to count them.
 */
export async function buildImage(layout: Layout): Promise<BuiltImage> {
  const {
    clusterBits,
    refcountOrder,
    clusterCount,
    counted = [],
    missingBlocks = [],
    canGrow = true,
  } = layout;
  const clusterSize = 2 ** clusterBits;
  const width = 2 ** refcountOrder;
  const perBlock = (clusterSize * 8) / width;
  const blocks = Math.min(Math.ceil(clusterCount / perBlock), clusterSize / 8);
  const bytes = Buffer.alloc(clusterCount * clusterSize);
  bytes.set(
    storedHeader({
      cluster_bits: clusterBits,
      size: 512,
      l1_size: 1,
      l1_table_offset: 2 * clusterSize,
      refcount_order: refcountOrder,
    }),
  );
  const present = Array.from({ length: blocks }, (_, index) => index).filter(
    (index) => !missingBlocks.includes(index),
  );
  const places = new Map(present.map((index, position) => [index, 3 + position]));
  for (const [index, cluster] of places) {
    bytes.writeBigUInt64BE(BigInt(cluster * clusterSize), clusterSize + index * 8);
  }
  const all = new Set<number>();
  for (const cluster of [0, 1, 2, ...places.values(), ...counted]) {
    const place = places.get(Math.floor(cluster / perBlock));
    if (place === undefined) continue;
    all.add(cluster);
    setCount(bytes, place * clusterSize * 8 + (cluster % perBlock) * width, width);
  }
  const image = await openImage(memoryStorage(bytes, { name: 'built.qcow2', canGrow }));
  return { image, refcounts: await readRefcountTable(image), counted: all, perBlock };
}

/** Makes the entry at a bit of the file 1: narrow ones fill a byte from its lowest bits, wide ones are big-endian. */
function setCount(bytes: Buffer, bit: number, width: number): void {
  if (width < 8) bytes[bit >> 3]! |= 1 << (bit & 7);
  else bytes[(bit + width) / 8 - 1] = 1;
}

/** The set of clusters that something points at. */
export function referencing(image: Image, clusters: Iterable<number>) {
  const set = noHostClusters(image);
  for (const cluster of clusters) {
    if (cluster < set.clusterCount) set.bits[cluster >> 3]! |= 1 << (cluster & 7);
  }
  return set;
}

/** A census with references to exactly these clusters. */
export function censusWith(
  { image, refcounts }: Pick<BuiltImage, 'image' | 'refcounts'>,
  pointedAt: Iterable<number> = [],
): SoundCensus {
  const census = {
    image,
    refcounts,
    ofImage: referencing(image, pointedAt),
    structures: [],
    misplaced: [],
    room: new Uint8Array(image.header.clusterSizeBytes),
  };
  return census as unknown as SoundCensus;
}
