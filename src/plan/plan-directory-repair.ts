/**
 * Plans the repair of an image's bitmaps and the release of leaked clusters.
 */
import { runsOfOnes } from '../bytes/bits.ts';
import { requireSound, type SoundCensus } from '../census/census.ts';
import { compareRefcounts } from '../census/compare-refcounts.ts';
import { RefusedError } from '../errors.ts';
import { type ClusterRange, clusterRange } from '../format/addresses.ts';
import { AUTOCLEAR } from '../format/features.ts';
import { headerStruct } from '../format/header.ts';
import type { HostClusters } from '../image/host-clusters.ts';
import { hasIgnoredBitmaps, type Image, whatQemuWrites } from '../image/image.ts';
import type { TableReading } from '../image/read-tables.ts';
import type { BitmapInspection } from '../inspection/inspect-bitmaps.ts';
import type { Problem } from '../inspection/problem.ts';
import { inSteps, type Remedy } from '../remedy.ts';
import { clearUnknownAutoclear } from './autoclear-bits.ts';
import type { BitmapSlot } from './bitmap-slot.ts';
import { type Claims, clusterCount } from './claim-clusters.ts';
import { keptClusters } from './kept-bitmaps.ts';
import { type MendedBitmap, mendDirectory } from './mended-directory.ts';
import { flush, type Plan } from './plan.ts';
import { planDirectory } from './plan-directory.ts';
import { loadBlocks, planRefcounts } from './refcount-steps.ts';

export interface DirectoryRepair {
  /** In the order of the current directory. */
  readonly bitmaps: readonly MendedBitmap[];
  /** Undefined when nothing needs a change. */
  readonly plan: Plan | undefined;
}

/**
 * Plans the repair of the bitmaps of an image, which may be opened leniently. Afterwards QEMU opens the
 * image, and it has no leaked clusters.
 *
 * At every moment of the plan the image has its old state or its new state, or QEMU opens it and ignores its
 * bitmaps.
 *
 * @param stores bitmaps to store, by name; they replace those of the directory
 * @throws RefusedError when refcounts or tables are not reliable
 */
export async function planDirectoryRepair(
  inspection: BitmapInspection,
  reading: TableReading = {},
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
    hasIgnoredBitmaps(image) ||
    bitmaps.some(({ fate }) => fate !== 'kept');
  if (!isMended) {
    const plan =
      inspection.leakedClusters === 0 ? undefined : await planLeakRelease(census, clusters, reading);
    return { bitmaps, plan };
  }
  const wanted = mendedSlots(bitmaps, stores);
  const kept = await keptClusters(census, wanted);
  const leaked = await leakedRuns(census, kept, reading);
  // A new bitmap uses no cluster of an old one, even if the refcount is 0.
  const plan = await planDirectory(census, wanted, { taken: [kept, clusters], released: [], leaked });
  return { bitmaps, plan };
}

function mendedSlots(
  bitmaps: readonly MendedBitmap[],
  stores: ReadonlyMap<string, BitmapSlot>,
): BitmapSlot[] {
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
  reading: TableReading,
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
  reading: TableReading,
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
 * QEMU can first check an image that it opens. It cannot check an image that it refuses. Refcounts that are
 * too low stay unchanged there: the repair claims and frees only clusters without a reference.
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

/** The remedy that makes QEMU open the image, at the cost of its bitmaps. */
function makingOpenable({ storage, header }: Image, problems: readonly Problem[]): Remedy {
  if (problems.some(({ code }) => code === 'extension-length')) return { kind: 'correct-extension-length' };
  return {
    kind: 'disown-bitmaps',
    file: storage.name,
    // Bit 0 is in the last byte of this big-endian field.
    offset: headerStruct.byteOf('autoclearFeatures') + 7,
    byte: Number(header.autoclearFeatures & 0xffn & ~AUTOCLEAR.bitmaps),
  };
}
