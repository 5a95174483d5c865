/**
 * Plans the steps that count claimed clusters and release others. In this order an interruption only leaks
 * clusters.
 */
import type { Span } from '../bytes/range.ts';
import type { SoundCensus } from '../census/census.ts';
import {
  type ClusterRange,
  clustersIn,
  eachCluster,
  type HostCluster,
  hostCluster,
  hostOffset,
  offsetOf,
} from '../format/addresses.ts';
import { type Header, headerStruct } from '../format/header.ts';
import {
  clustersPerRefcountBlock,
  encodeRefcountTableEntries,
  REFCOUNT_TABLE_ENTRY_BYTES,
} from '../format/refcounts.ts';
import { blockIndexOf, readRefcountBlock, refcountIn, setRefcountIn } from '../image/refcount-table.ts';
import { type Claims, claimedRuns } from './claim-clusters.ts';
import { flush, type Step, write, writeHeader } from './plan.ts';

export interface RefcountSteps {
  /** Written with the data of the new clusters, before a flush. */
  readonly claim: readonly Step[];
  /** Written after that flush. They make new blocks visible and end with a flush unless empty. */
  readonly reveal: readonly Step[];
  /** Written when no reference to the released clusters is left. */
  readonly release: readonly Step[];
}

/** The current refcount blocks that count claimed or released clusters, by block index. */
export type LoadedBlocks = ReadonlyMap<number, Uint8Array>;

export async function loadBlocks(
  { image, refcounts }: SoundCensus,
  runs: readonly ClusterRange[],
): Promise<LoadedBlocks> {
  const blocks = new Map<number, Uint8Array>();
  for (const { start, end } of runs) {
    const last = blockIndexOf(hostCluster(end - 1), image.header);
    for (let index = blockIndexOf(start, image.header); index <= last; index++) {
      if (blocks.has(index)) continue;
      const block = await readRefcountBlock(image, refcounts, index);
      if (block !== undefined) blocks.set(index, block);
    }
  }
  return blocks;
}

/**
 * @param released clusters without a reference after the commit, each listed once
 * @param leaked clusters without a reference, with any refcount
 */
export function planRefcounts(
  census: SoundCensus,
  loaded: LoadedBlocks,
  claims: Claims,
  released: readonly ClusterRange[],
  leaked: readonly ClusterRange[] = [],
): RefcountSteps {
  const { image, refcounts } = census;
  const { header } = image;
  const { clusterSizeBytes } = header;
  const blocks = new Map([...loaded].map(([index, block]) => [index, block.slice()]));
  for (const index of claims.newBlocks.keys()) blocks.set(index, new Uint8Array(clusterSizeBytes));

  const claimed = forEachCluster(claimedRuns(claims), (cluster) => {
    setRefcountIn(blocks.get(blockIndexOf(cluster, header))!, cluster, header, 1n);
    return true;
  });
  const claim: Step[] = [];
  for (const [index, span] of spansByBlock(header, claimed)) {
    const cluster = claims.newBlocks.get(index);
    const block = blocks.get(index)!;
    claim.push(
      cluster === undefined
        ? write(
            hostOffset(refcounts.blockOffsets[index]! + span.start),
            block.slice(span.start, span.end),
            `refcounts in block ${index}`,
          )
        : write(offsetOf(cluster, header), block.slice(), `new refcount block ${index}`),
    );
  }
  const { steps: reveal, table } = revealBlocks(census, claims);
  if (table !== undefined) claim.push(table);

  const freed = forEachCluster(
    [...released, ...(claims.newTable === undefined ? [] : [tableRun(census)])],
    (cluster) => {
      const block = blocks.get(blockIndexOf(cluster, header));
      const count = block === undefined ? 0n : refcountIn(block, cluster, header);
      if (block === undefined || count === 0n) return false;
      setRefcountIn(block, cluster, header, count - 1n);
      return true;
    },
  );
  const mended = forEachCluster(leaked, (cluster) => {
    setRefcountIn(blocks.get(blockIndexOf(cluster, header))!, cluster, header, 0n);
    return true;
  });
  const release: Step[] = [];
  for (const [index, span] of spansByBlock(header, [...freed, ...mended])) {
    const bytes = blocks.get(index)!.slice(span.start, span.end);
    const offset = hostOffset(refcounts.blockOffsets[index]! + span.start);
    release.push(write(offset, bytes, `released refcounts in block ${index}`));
  }
  return { claim, reveal, release };
}

/** The clusters of the current refcount table. */
export function tableRun({ image, refcounts }: SoundCensus): ClusterRange {
  const length = refcounts.blockOffsets.length * REFCOUNT_TABLE_ENTRY_BYTES;
  return clustersIn({ offset: image.header.refcountTableOffset, length }, image.header);
}

function forEachCluster(
  runs: readonly ClusterRange[],
  change: (cluster: HostCluster) => boolean,
): HostCluster[] {
  const changed: HostCluster[] = [];
  for (const run of runs) {
    for (const cluster of eachCluster(run)) if (change(cluster)) changed.push(cluster);
  }
  return changed;
}

/** For each block, the bytes with the refcounts of `clusters`. */
function spansByBlock(header: Header, clusters: readonly HostCluster[]): Map<number, Span> {
  const spans = new Map<number, Span>();
  const bitsPerRefcount = 2 ** header.refcountOrder;
  for (const cluster of clusters) {
    const firstBit = (cluster % clustersPerRefcountBlock(header)) * bitsPerRefcount;
    const start = Math.floor(firstBit / 8);
    const end = Math.ceil((firstBit + bitsPerRefcount) / 8);
    const index = blockIndexOf(cluster, header);
    const span = spans.get(index);
    spans.set(index, {
      start: Math.min(start, span?.start ?? start),
      end: Math.max(end, span?.end ?? end),
    });
  }
  return spans;
}

/** Names the new blocks in the refcount table, or moves the table if it must grow. */
function revealBlocks(
  { image, refcounts }: SoundCensus,
  { newBlocks, newTable }: Claims,
): { steps: Step[]; table: Step | undefined } {
  const { header } = image;
  if (newTable !== undefined) {
    const clusters = newTable.end - newTable.start;
    const offsets = new Float64Array((clusters * header.clusterSizeBytes) / REFCOUNT_TABLE_ENTRY_BYTES);
    offsets.set(refcounts.blockOffsets);
    for (const [index, cluster] of newBlocks) offsets[index] = offsetOf(cluster, header);
    const offset = offsetOf(newTable.start, header);
    return {
      table: write(offset, encodeRefcountTableEntries(offsets), 'larger refcount table'),
      steps: [
        writeHeader(
          headerStruct.byteOf('refcountTableOffset'),
          Uint8Array.of(
            ...headerStruct.encodeField('refcountTableOffset', offset),
            ...headerStruct.encodeField('refcountTableClusters', clusters),
          ),
          'refcount_table_offset and refcount_table_clusters',
        ),
        flush('the refcount table'),
      ],
    };
  }
  const steps: Step[] = [];
  const hidden = new Map(newBlocks);
  while (hidden.size > 0) {
    // A block may be named after the block that counts its own cluster. Usually it counts itself.
    const ready = [...hidden].filter(([index, cluster]) => {
      const counter = blockIndexOf(cluster, header);
      return counter === index || !hidden.has(counter);
    });
    if (ready.length === 0) throw new Error('refcount blocks that only count each other');
    for (const [index, cluster] of ready) {
      const entry = encodeRefcountTableEntries(Float64Array.of(offsetOf(cluster, header)));
      const offset = hostOffset(header.refcountTableOffset + index * REFCOUNT_TABLE_ENTRY_BYTES);
      steps.push(write(offset, entry, `refcount table entry ${index}`));
      hidden.delete(index);
    }
    steps.push(flush('the refcount table'));
  }
  return { steps, table: undefined };
}
