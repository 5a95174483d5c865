/**
 * Plans the change to a new set of bitmaps. New clusters are written first. One write in the header then
 * switches to them. The old clusters are released last.
 */
import { divideUp } from '../bytes/align.ts';
import type { SoundCensus } from '../census/census.ts';
import { RefusedError } from '../errors.ts';
import type { ClusterRange } from '../format/addresses.ts';
import { bitmapDirectoryBytes } from '../format/bitmap-directory.ts';
import { BITMAP_TABLE_ENTRY_BYTES } from '../format/bitmap-table.ts';
import { MAX_BITMAP_DIRECTORY_BYTES, MAX_BITMAPS } from '../format/bitmaps-extension.ts';
import type { HostClusters } from '../image/host-clusters.ts';
import type { Image } from '../image/image.ts';
import type { BitmapSlot } from './bitmap-slot.ts';
import { claimClusters, claimedRuns, clusterCount } from './claim-clusters.ts';
import { freeClusters } from './free-clusters.ts';
import { planHeaderSwitch } from './header-switch.ts';
import { encodeAll, layOut } from './lay-out-directory.ts';
import { flush, type Plan, type Step } from './plan.ts';
import { loadBlocks, planRefcounts, tableRun } from './refcount-steps.ts';

export interface ClustersOfBitmaps {
  /** The clusters of the bitmaps before and after the change. None of them is claimed. */
  readonly taken: readonly HostClusters[];
  /** Clusters in use until the switch to the new directory. */
  readonly released: readonly ClusterRange[];
  /** Leaked clusters: counted, but without a reference. */
  readonly leaked: readonly ClusterRange[];
}

/**
 * Plans a new directory.
 *
 * @throws RefusedError when the plan would exceed a limit of QEMU, or there are too few free clusters
 */
export async function planDirectory(
  census: SoundCensus,
  wanted: readonly BitmapSlot[],
  { taken, released, leaked }: ClustersOfBitmaps,
): Promise<Plan> {
  const { image } = census;
  const { header } = image;
  const { clusterSizeBytes } = header;
  const stores = wanted.filter((slot) => slot.kind === 'store');
  const pieces = encodeAll(stores, clusterSizeBytes);
  const directoryBytes = plannedDirectoryBytes(image, wanted);
  const claims = await claimClusters(census, freeClusters(census, taken), {
    contiguous: [
      ...(wanted.length === 0 ? [] : [divideUp(directoryBytes, clusterSizeBytes)]),
      ...pieces.map(({ length }) => divideUp(length * BITMAP_TABLE_ENTRY_BYTES, clusterSizeBytes)),
    ],
    scattered: pieces.flat().filter((piece) => typeof piece === 'object').length,
  });
  const claimed = claimedRuns(claims);
  const newEndOffset = claimed.reduce(
    (end, run) => Math.max(end, run.end * clusterSizeBytes),
    image.storage.sizeBytes,
  );

  const oldTable = claims.newTable === undefined ? [] : [tableRun(census)];
  const blocks = await loadBlocks(census, [...claimed, ...released, ...leaked, ...oldTable]);
  const refcountSteps = planRefcounts(census, blocks, claims, released, leaked);
  const { steps: contentSteps, payload } = layOut(image, wanted, pieces, claims);
  const headerCluster = withWrites(image.headerCluster, refcountSteps.reveal);
  const headerSwitch = planHeaderSwitch({ ...image, headerCluster }, payload);

  const before = [
    ...headerSwitch.first,
    // Content is written first: if space runs out, no cluster is claimed yet.
    ...contentSteps,
    ...refcountSteps.claim,
    ...headerSwitch.prepare,
    ...(claimed.length === 0 ? [] : [flush('new clusters and their refcounts')]),
    ...refcountSteps.reveal,
    ...headerSwitch.commit,
  ];
  const after = [
    ...headerSwitch.after,
    ...refcountSteps.release,
    ...(refcountSteps.release.length === 0 ? [] : [flush('released refcounts')]),
  ];
  return {
    steps: [...before, ...after],
    commitIndex: before.length - 1,
    claimedClusters: clusterCount(claimed),
    releasedClusters: clusterCount([...released, ...leaked, ...oldTable]),
    newEndOffset,
  };
}

/** The header after `steps`. It then names the moved refcount table. */
function withWrites(headerCluster: Uint8Array, steps: readonly Step[]): Uint8Array {
  const result = headerCluster.slice();
  for (const step of steps) {
    if (step.kind === 'write' && step.offset < result.length) result.set(step.bytes, step.offset);
  }
  return result;
}

function plannedDirectoryBytes({ storage }: Image, wanted: readonly BitmapSlot[]): number {
  const sizeBytes = bitmapDirectoryBytes(wanted.map((slot) => (slot.kind === 'keep' ? slot.entry : slot)));
  if (wanted.length > MAX_BITMAPS || sizeBytes > MAX_BITMAP_DIRECTORY_BYTES) {
    throw new RefusedError(
      'BITMAP_LIMIT',
      `${storage.name}: ${wanted.length} bitmaps in a directory of ${sizeBytes} bytes, QEMU allows ${MAX_BITMAPS} in ${MAX_BITMAP_DIRECTORY_BYTES} bytes`,
      { remedy: { kind: 'remove-unneeded-bitmaps' }, context: { file: storage.name } },
    );
  }
  return sizeBytes;
}
