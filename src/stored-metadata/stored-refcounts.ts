/**
 * The stored refcount table and refcounts of an image.
 */
import { divideUp } from '../bytes/align.ts';
import { view } from '../bytes/struct.ts';
import { hex } from '../format/format-error.ts';
import { clustersPerRefcountBlock, REFCOUNT_TABLE_ENTRY_BYTES, readRefcount } from '../format/refcounts.ts';
import { readBytes, type Storage } from '../storage/storage.ts';

/** Adjacent clusters with the same refcount. */
interface RefcountRun {
  readonly firstCluster: number;
  readonly clusters: number;
  readonly refcount: number | string;
}

interface StoredRefcountBlock {
  readonly index: number;
  /** The stored entry of the table. Its lowest 9 bits are reserved. */
  readonly entry: number | string;
  /**
   * null if the block was not read: it is unaligned, beyond the end of the file, or named by an earlier
   * entry.
   */
  readonly runs: readonly RefcountRun[] | null;
}

export interface StoredRefcounts {
  readonly blocks: readonly StoredRefcountBlock[];
  /** false if the list is incomplete. */
  readonly isComplete: boolean;
}

export interface RefcountGeometry {
  readonly tableOffset: number;
  readonly tableBytes: number;
  readonly clusterSizeBytes: number;
  readonly refcountOrder: number;
}

const RESERVED_BITS = 0x1ffn;
/** Random refcounts would fill the memory. */
const MOST_RUNS = 10_000;

/** @returns refcounts; those of clusters past the end of the file only if they are not 0 */
export async function readStoredRefcounts(
  storage: Storage,
  { tableOffset, tableBytes, clusterSizeBytes, refcountOrder }: RefcountGeometry,
  signal: AbortSignal | undefined,
): Promise<StoredRefcounts> {
  const table = view(await readBytes(storage, tableOffset, tableBytes));
  const perBlock = clustersPerRefcountBlock({ clusterSizeBytes, refcountOrder });
  const fileClusters = divideUp(storage.sizeBytes, clusterSizeBytes);
  const blocks: StoredRefcountBlock[] = [];
  const seen = new Set<number>();
  let left = MOST_RUNS;
  for (let index = 0; index * REFCOUNT_TABLE_ENTRY_BYTES < table.byteLength; index++) {
    signal?.throwIfAborted();
    const stored = table.getBigUint64(index * REFCOUNT_TABLE_ENTRY_BYTES);
    if (stored === 0n) continue;
    if (left <= 0) return { blocks, isComplete: false };
    const offset = Number(stored & ~RESERVED_BITS);
    const isReadable = offset % clusterSizeBytes === 0 && offset + clusterSizeBytes <= storage.sizeBytes;
    const block =
      isReadable && !seen.has(offset) ? await readBytes(storage, offset, clusterSizeBytes) : undefined;
    seen.add(offset);
    const runs = block && [...runsOf(block, refcountOrder, index * perBlock, perBlock, fileClusters, left)];
    left -= 1 + (runs?.length ?? 0);
    blocks.push({ index, entry: numberOf(stored), runs: runs ?? null });
  }
  return { blocks, isComplete: left > 0 };
}

function* runsOf(
  block: Uint8Array,
  order: number,
  firstCluster: number,
  count: number,
  fileClusters: number,
  most: number,
): Generator<RefcountRun> {
  for (let start = 0, runs = 0; start < count && runs < most; ) {
    const refcount = readRefcount(block, start, order);
    let end = start + 1;
    while (end < count && readRefcount(block, end, order) === refcount) end++;
    const shownEnd = refcount === 0n ? Math.min(end, fileClusters - firstCluster) : end;
    if (shownEnd > start) {
      yield { firstCluster: firstCluster + start, clusters: shownEnd - start, refcount: numberOf(refcount) };
      runs++;
    }
    start = end;
  }
}

function numberOf(value: bigint): number | string {
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : hex(value);
}
