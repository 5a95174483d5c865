/**
 * Plans how the bitmaps of an image become sound, and how what leaked is freed.
 */

import { runsOfOnes } from '../bytes/bits.ts';
import { compareRefcounts } from '../census/compare-refcounts.ts';
import type { HostClusters } from '../census/host-clusters.ts';
import { RefusedError } from '../errors.ts';
import { AUTOCLEAR } from '../format/features.ts';
import { headerStruct } from '../format/header.ts';
import { bitmapsAreLive, forgettingHint, type Image } from '../image/image.ts';
import type { L2Reading } from '../image/read-l2-tables.ts';
import type { Refcounts } from '../image/refcount-table.ts';
import { type Claims, clusterCount } from '../plan/claim-clusters.ts';
import type { ClusterRun } from '../plan/free-clusters.ts';
import { clearUnknownAutoclear } from '../plan/header-switch.ts';
import { flush, type Plan } from '../plan/plan.ts';
import { addKeptBitmaps, type BitmapSlot, planDirectory } from '../plan/plan-directory.ts';
import { loadBlocks, planRefcounts } from '../plan/refcount-steps.ts';
import { shellPath } from '../text/shell-word.ts';
import { type BitmapInspection, type ImageToInspect, inspectBitmaps } from './inspect-bitmaps.ts';
import { type MendedBitmap, mendDirectory } from './mended-directory.ts';
import type { Problem } from './problem.ts';

export interface DirectoryRepair {
  readonly inspection: BitmapInspection;
  /** In the order of the directory as it is. */
  readonly bitmaps: readonly MendedBitmap[];
  /** Undefined when there is nothing to do. */
  readonly plan: Plan | undefined;
}

/**
 * Inspects an image, which may be opened leniently, and plans what makes its bitmaps sound again: QEMU opens it
 * afterwards, and nothing is left counted that nothing points at.
 *
 * At every moment of the plan the image is as it was, or as it shall be, or opens in QEMU with its bitmaps ignored.
 *
 * @param stores bitmaps to store, by name, instead of what would become of those of the directory
 * @throws RefusedError when refcounts or tables are not fit to be relied upon
 */
export async function planDirectoryRepair(
  image: Image,
  target: ImageToInspect,
  reading: L2Reading = {},
  stores: ReadonlyMap<string, BitmapSlot> = new Map(),
): Promise<DirectoryRepair> {
  const inspection = await inspectBitmaps(image, target, reading);
  refuseUnsafe(image, inspection);
  const { referenced, refcounts } = target;
  const bitmaps = await mendDirectory(image, inspection.bitmaps);
  const isMended =
    stores.size > 0 ||
    inspection.unopenable ||
    !bitmapsAreLive(image) ||
    bitmaps.some(({ fate }) => fate !== 'kept');
  if (!isMended) {
    const inUse = [referenced, inspection.clusters];
    const plan =
      inspection.leakedClusters === 0 ? undefined : await planLeakRelease(image, inUse, refcounts, reading);
    return { inspection, bitmaps, plan };
  }
  const wanted = withStores(bitmaps, stores);
  await addKeptBitmaps(image, referenced, wanted);
  const leaked = await leakedRuns(image, refcounts, [referenced], reading);
  // Nothing of the old bitmaps is taken for the new ones, whatever its refcount says.
  inspection.clusters.bits.forEach((bits, byte) => {
    referenced.bits[byte]! |= bits;
  });
  const plan = await planDirectory(image, referenced, refcounts, wanted, { released: [], leaked });
  return { inspection, bitmaps, plan };
}

function withStores(bitmaps: readonly MendedBitmap[], stores: ReadonlyMap<string, BitmapSlot>): BitmapSlot[] {
  const remaining = new Map(stores);
  const slots = bitmaps.flatMap(({ bitmap, slot }) => {
    const name = bitmap.entry?.name ?? '';
    const store = remaining.get(name);
    remaining.delete(name);
    return store ?? slot ?? [];
  });
  return [...slots, ...remaining.values()];
}

const NO_CLAIMS: Claims = { contiguous: [], scattered: [], newBlocks: new Map(), newTable: undefined };

async function planLeakRelease(
  image: Image,
  referenced: readonly HostClusters[],
  refcounts: Refcounts,
  reading: L2Reading,
): Promise<Plan> {
  const leaked = await leakedRuns(image, refcounts, referenced, reading);
  const blocks = await loadBlocks(image, refcounts, leaked);
  const { release } = planRefcounts(image, refcounts, blocks, NO_CLAIMS, [], leaked);
  const steps = [...clearUnknownAutoclear(image), ...release, flush('released refcounts')];
  return {
    steps,
    commitIndex: steps.length - 1,
    claimedClusters: 0,
    releasedClusters: clusterCount(leaked),
    newEndOffset: image.storage.sizeBytes,
  };
}

async function leakedRuns(
  image: Image,
  refcounts: Refcounts,
  referenced: readonly HostClusters[],
  reading: L2Reading,
): Promise<ClusterRun[]> {
  const runs: ClusterRun[] = [];
  await compareRefcounts(
    image,
    refcounts,
    referenced,
    ({ start, count, leaked }) => {
      for (const run of runsOfOnes(leaked, 0, count)) {
        runs.push({ start: start + run.start, end: start + run.end });
      }
    },
    reading,
  );
  return runs;
}

/**
 * An image that QEMU opens can be checked by QEMU first. One that it does not open cannot: there, refcounts that are too
 * low are left as they are, since only clusters that nothing points at are ever taken or freed.
 */
function refuseUnsafe(image: Image, { problems, unopenable }: BitmapInspection): void {
  const { name } = image.storage;
  const fatal = problems.find(
    ({ code }) =>
      code === 'marked-corrupt' ||
      code === 'marked-dirty' ||
      code === 'metadata-overlap' ||
      (code === 'refcount-too-low' && !unopenable),
  );
  if (fatal === undefined) return;
  const check = `run "qemu-img check -r all ${shellPath(name)}" first.${forgettingHint(image)}`;
  throw new RefusedError('NEEDS_CHECK', `${name}: ${fatal.message}`, {
    hint: unopenable ? giveUpHint(image, problems, check) : `Take a copy of the image, then ${check}`,
    context: { file: name, problem: fatal.code },
  });
}

function giveUpHint({ storage, header }: Image, problems: readonly Problem[], check: string): string {
  if (problems.some(({ code }) => code === 'extension-length')) {
    return `Take a copy of the image; QEMU opens it once the length of its bitmaps extension is corrected to 24 in a hex editor, and then ${check}`;
  }
  // The lowest byte of the field holds bit 0.
  const byte = Number(header.autoclearFeatures & 0xffn & ~AUTOCLEAR.bitmaps);
  const stored = `\\${byte.toString(8).padStart(3, '0')}`;
  const at = headerStruct.byteOf('autoclearFeatures') + 7;
  return `Take a copy of the image; "printf '${stored}' | dd of=${shellPath(storage.name)} bs=1 seek=${at} conv=notrunc" gives up its bitmaps, so that QEMU opens it; then ${check}`;
}
