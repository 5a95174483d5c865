/**
 * Finds free clusters, lowest first. A free cluster has refcount 0 and no reference. Clusters past the end of
 * the file are free, up to the limit of a refcount table.
 */
import { findBit, newBits, type ReadonlyBits, runsOfOnes, setBit, setBits } from '../bytes/bits.ts';
import type { SoundCensus } from '../census/census.ts';
import { RefusedError } from '../errors.ts';
import { type ClusterRange, clusterRange } from '../format/addresses.ts';
import { MAX_REFCOUNT_TABLE_BYTES } from '../format/header.ts';
import {
  areFree,
  clustersPerRefcountBlock,
  isFree,
  REFCOUNT_TABLE_ENTRY_BYTES,
} from '../format/refcounts.ts';
import type { HostClusters } from '../image/host-clusters.ts';
import { readRefcountBlock } from '../image/refcount-table.ts';

export interface FreeClusters {
  /**
   * Takes the lowest `count` contiguous clusters.
   *
   * @param within limits the search; undefined is returned when they do not fit
   */
  take(count: number): Promise<ClusterRange>;
  take(count: number, within: ClusterRange): Promise<ClusterRange | undefined>;
  /** Takes the lowest `count` free clusters, which need not be contiguous. */
  takeScattered(count: number): Promise<ClusterRange[]>;
}

/** @param taken further clusters that must not be used, whatever their refcounts are */
export function freeClusters(census: SoundCensus, taken: readonly HostClusters[]): FreeClusters {
  const { image } = census;
  const found: ClusterRange[] = [];
  const more = findFreeRuns(census, taken);

  /** Finds the next free run. Joins it to the previous run if the two are adjacent. */
  async function findMore(): Promise<void> {
    const next = await more.next();
    if (next.done) {
      throw new RefusedError(
        'NO_ROOM',
        `${image.storage.name}: its refcount table can count no more clusters`,
        {
          remedy: { kind: 'enlarge-clusters' },
          context: { file: image.storage.name },
        },
      );
    }
    const last = found.at(-1);
    if (last?.end === next.value.start) found[found.length - 1] = { ...last, end: next.value.end };
    else found.push(next.value);
  }

  function takeFrom(position: number, taken: ClusterRange): ClusterRange {
    const run = found[position]!;
    const rest = [
      { start: run.start, end: taken.start },
      { start: taken.end, end: run.end },
    ].filter(({ start, end }) => start < end);
    found.splice(position, 1, ...rest);
    return taken;
  }

  async function take(count: number): Promise<ClusterRange>;
  async function take(count: number, within: ClusterRange): Promise<ClusterRange | undefined>;
  async function take(count: number, within?: ClusterRange): Promise<ClusterRange | undefined> {
    const { start: lowest, end: highest } = within ?? clusterRange(0, Number.MAX_SAFE_INTEGER);
    for (;;) {
      for (const [position, run] of found.entries()) {
        const start = Math.max(run.start, lowest);
        if (start + count <= Math.min(run.end, highest))
          return takeFrom(position, clusterRange(start, start + count));
      }
      if ((found.at(-1)?.end ?? 0) >= highest) return undefined;
      await findMore();
    }
  }

  async function takeScattered(count: number): Promise<ClusterRange[]> {
    const taken: ClusterRange[] = [];
    for (let missing = count; missing > 0; ) {
      const run = found[0];
      if (run === undefined) {
        await findMore();
        continue;
      }
      const part = takeFrom(0, clusterRange(run.start, Math.min(run.end, run.start + missing)));
      const last = taken.at(-1);
      if (last?.end === part.start) taken[taken.length - 1] = { ...last, end: part.end };
      else taken.push(part);
      missing -= part.end - part.start;
    }
    return taken;
  }

  return { take, takeScattered };
}

async function* findFreeRuns(
  { image, refcounts, ofImage }: SoundCensus,
  taken: readonly HostClusters[],
): AsyncGenerator<ClusterRange, undefined> {
  const { header } = image;
  const sets = [ofImage.bits, ...taken.map(({ bits }) => bits)];
  const perBlock = clustersPerRefcountBlock(header);
  const blockCount = MAX_REFCOUNT_TABLE_BYTES / REFCOUNT_TABLE_ENTRY_BYTES;
  for (let blockIndex = 0; blockIndex < blockCount; blockIndex++) {
    const start = blockIndex * perBlock;
    const end = start + perBlock;
    const unreferenced = unreferencedRuns(sets, ofImage.clusterCount, start, end);
    if (unreferenced.length === 0) continue;
    const block = await readRefcountBlock(image, refcounts, blockIndex);
    if (block === undefined) {
      yield* unreferenced;
      continue;
    }
    const free = newBits(perBlock);
    for (const run of unreferenced) {
      if (areFree(block, run.start - start, run.end - start, header.refcountOrder)) {
        setBits(free, run.start - start, run.end - start);
        continue;
      }
      for (let cluster = run.start; cluster < run.end; cluster++) {
        if (isFree(block, cluster - start, header.refcountOrder)) setBit(free, cluster - start);
      }
    }
    for (const run of runsOfOnes(free, 0, perBlock)) yield clusterRange(start + run.start, start + run.end);
  }
  return undefined;
}

function unreferencedRuns(
  sets: readonly ReadonlyBits[],
  clusterCount: number,
  start: number,
  end: number,
): ClusterRange[] {
  const runs: ClusterRange[] = [];
  const inside = Math.min(end, clusterCount);
  let from = start < inside ? firstInNone(sets, start, inside) : start;
  while (from < inside) {
    const to = Math.min(...sets.map((bits) => findBit(bits, 1, from, inside)));
    runs.push(clusterRange(from, to));
    from = firstInNone(sets, to, inside);
  }
  const beyond = Math.max(start, clusterCount);
  if (beyond < end) runs.push(clusterRange(beyond, end));
  return runs;
}

/** The first cluster in [start, end) that is in none of the sets, or `end`. */
function firstInNone(sets: readonly ReadonlyBits[], start: number, end: number): number {
  let from = start;
  for (;;) {
    const next = sets.reduce((cluster, bits) => findBit(bits, 0, cluster, end), from);
    if (next === from) return from;
    from = next;
  }
}
