/**
 * Plans how the bitmaps of an image become sound, and how what leaked is freed.
 */
import { runsOfOnes } from '../bytes/bits.ts';
import { requireSound, type SoundCensus } from '../census/census.ts';
import { compareRefcounts } from '../census/compare-refcounts.ts';
import { RefusedError } from '../errors.ts';
import { type ClusterRange, clusterRange } from '../format/addresses.ts';
import { AUTOCLEAR } from '../format/features.ts';
import { headerStruct } from '../format/header.ts';
import type { HostClusters } from '../image/host-clusters.ts';
import { bitmapsAreLive, type Image, whatQemuWrites } from '../image/image.ts';
import type { L2Reading } from '../image/read-l2-tables.ts';
import type { BitmapInspection } from '../inspection/inspect-bitmaps.ts';
import type { Problem } from '../inspection/problem.ts';
import { inSteps, type Remedy } from '../remedy.ts';
import type { BitmapSlot } from './bitmap-slot.ts';
import { type Claims, clusterCount } from './claim-clusters.ts';
import { clearUnknownAutoclear } from './header-switch.ts';
import { keptClusters } from './kept-bitmaps.ts';
import { type MendedBitmap, mendDirectory } from './mended-directory.ts';
import { flush, type Plan } from './plan.ts';
import { planDirectory } from './plan-directory.ts';
import { loadBlocks, planRefcounts } from './refcount-steps.ts';

export interface DirectoryRepair {
  /** In the order of the directory as it is. */
  readonly bitmaps: readonly MendedBitmap[];
  /** Undefined when there is nothing to do. */
  readonly plan: Plan | undefined;
}

/**
 * Plans what makes the bitmaps of an image, which may be opened leniently, sound again: QEMU opens it afterwards, and
 * nothing is left counted that nothing points at.
 *
 * At every moment of the plan the image is as it was, or as it shall be, or opens in QEMU with its bitmaps ignored.
 *
 * @param stores bitmaps to store, by name, instead of what would become of those of the directory
 * @throws RefusedError when refcounts or tables are not fit to be relied upon
 */
export async function planDirectoryRepair(
  inspection: BitmapInspection,
  reading: L2Reading = {},
  stores: ReadonlyMap<string, BitmapSlot> = new Map(),
): Promise<DirectoryRepair> {
  const { clusters } = inspection;
  const { image } = inspection.census;
  refuseUnsafe(image, inspection);
  const census = requireSound(inspection.census);
  const bitmaps = await mendDirectory(image, inspection.bitmaps);
  const isMended =
    stores.size > 0 ||
    inspection.unopenable ||
    !bitmapsAreLive(image) ||
    bitmaps.some(({ fate }) => fate !== 'kept');
  if (!isMended) {
    const plan =
      inspection.leakedClusters === 0 ? undefined : await planLeakRelease(census, clusters, reading);
    return { bitmaps, plan };
  }
  const wanted = withStores(bitmaps, stores);
  const kept = await keptClusters(census, wanted);
  const leaked = await leakedRuns(census, kept, reading);
  // New bitmaps use no cluster of the old ones, even if its refcount is 0.
  const plan = await planDirectory(census, wanted, { taken: [kept, clusters], released: [], leaked });
  return { bitmaps, plan };
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
  census: SoundCensus,
  ofBitmaps: HostClusters,
  reading: L2Reading,
): Promise<Plan> {
  const { image } = census;
  const leaked = await leakedRuns(census, ofBitmaps, reading);
  const blocks = await loadBlocks(census, leaked);
  const { release } = planRefcounts(census, blocks, NO_CLAIMS, [], leaked);
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
  census: SoundCensus,
  ofBitmaps: HostClusters,
  reading: L2Reading,
): Promise<ClusterRange[]> {
  const runs: ClusterRange[] = [];
  await compareRefcounts(
    census,
    ofBitmaps,
    ({ start, end, leaked }) => {
      for (const run of runsOfOnes(leaked, 0, end - start)) {
        runs.push(clusterRange(start + run.start, start + run.end));
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
  const check = { kind: 'check-and-repair', copyFirst: !unopenable, ...whatQemuWrites(image) } as const;
  throw new RefusedError('NEEDS_CHECK', `${name}: ${fatal.message}`, {
    remedy: unopenable ? inSteps(makingOpenable(image, problems), check) : check,
    context: { file: name, problem: fatal.code },
  });
}

/** What makes QEMU open the image, without regard to its bitmaps. */
function makingOpenable({ storage, header }: Image, problems: readonly Problem[]): Remedy {
  if (problems.some(({ code }) => code === 'extension-length')) return { kind: 'correct-extension-length' };
  return {
    kind: 'disown-bitmaps',
    file: storage.name,
    // The lowest byte of the field holds bit 0.
    offset: headerStruct.byteOf('autoclearFeatures') + 7,
    byte: Number(header.autoclearFeatures & 0xffn & ~AUTOCLEAR.bitmaps),
  };
}
