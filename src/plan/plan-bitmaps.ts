/**
 * Plans a new set of bitmaps for a sound image.
 */
import { getBit, setBit } from '../bytes/bits.ts';
import { type Census, requireSound, type SoundCensus } from '../census/census.ts';
import { RefusedError } from '../errors.ts';
import { type ClusterRange, clusterRange, clustersIn, type HostRange } from '../format/addresses.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import type { BitmapTableEntry } from '../format/bitmap-table.ts';
import type { GrowingHostClusters } from '../image/host-clusters.ts';
import type { Image } from '../image/image.ts';
import { bitmapRanges, readBitmapTable, readUnsoundTable } from '../image/stored-bitmaps.ts';
import type { BitmapSlot } from './bitmap-slot.ts';
import { keptClusters } from './kept-bitmaps.ts';
import type { Plan } from './plan.ts';
import { planDirectory } from './plan-directory.ts';

export interface BitmapChange {
  /** The current directory. */
  readonly present: readonly BitmapDirectoryEntry[];
  /** The new directory. A present entry that is not kept is dropped, and its clusters are released. */
  readonly wanted: readonly BitmapSlot[];
}

/**
 * @throws RefusedError when the plan would exceed a limit of QEMU, a kept bitmap or a structure of the image
 * is unsound, or there are too few free clusters
 */
export async function planBitmaps(census: Census, { present, wanted }: BitmapChange): Promise<Plan> {
  // The specification forbids it. A bitmap that already has an empty name is kept or removed.
  if (wanted.some((slot) => slot.kind === 'store' && slot.nameBytes.length === 0))
    throw new Error('a bitmap without a name cannot be stored');
  const sound = requireSound(census);
  const ofBitmaps = await keptClusters(sound, wanted);
  const released = await takeReleased(sound, ofBitmaps, present, wanted);
  return planDirectory(sound, wanted, { taken: [ofBitmaps], released, leaked: [] });
}

/**
 * Collects the clusters that only the dropped bitmaps and the old directory use. They stay in use until the
 * switch is durable.
 */
async function takeReleased(
  { image, ofImage }: SoundCensus,
  ofBitmaps: GrowingHostClusters,
  present: readonly BitmapDirectoryEntry[],
  wanted: readonly BitmapSlot[],
): Promise<ClusterRange[]> {
  const { header, bitmaps } = image;
  const ranges: HostRange[] = [];
  if (bitmaps.kind === 'live') {
    ranges.push({ offset: bitmaps.directory.offset, length: bitmaps.directory.sizeBytes });
  }
  const kept = new Set(wanted.map((slot) => (slot.kind === 'keep' ? slot.entry.tableOffset : undefined)));
  for (const entry of present) {
    if (kept.has(entry.tableOffset)) continue;
    // A spread into one call would exceed the argument limit: there may be millions of ranges.
    for (const range of bitmapRanges(image, entry, await tableOf(image, entry))) ranges.push(range);
  }
  const released: ClusterRange[] = [];
  for (const range of ranges) {
    const { start, end } = clustersIn(range, header);
    for (let cluster = start; cluster < end && cluster < ofImage.clusterCount; cluster++) {
      if (getBit(ofImage.bits, cluster) || getBit(ofBitmaps.bits, cluster)) continue;
      setBit(ofBitmaps.bits, cluster);
      released.push(clusterRange(cluster, cluster + 1));
    }
  }
  return released;
}

/** A bitmap whose table is broken must still be removable. */
async function tableOf(image: Image, entry: BitmapDirectoryEntry): Promise<readonly BitmapTableEntry[]> {
  try {
    return await readBitmapTable(image, entry);
  } catch (error) {
    if (error instanceof RefusedError) return readUnsoundTable(image, entry);
    throw error;
  }
}
