/**
 * Finds the clusters of bitmaps that stay in place.
 */
import { alignUp } from '../bytes/align.ts';
import type { SoundCensus } from '../census/census.ts';
import { RefusedError } from '../errors.ts';
import type { HostRange } from '../format/addresses.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import { hex } from '../format/format-error.ts';
import {
  addRange,
  findOverlap,
  type GrowingHostClusters,
  needsCheck,
  noHostClusters,
  overlapMessage,
} from '../image/host-clusters.ts';
import { type Image, requireInside } from '../image/image.ts';
import { bitmapRanges, readBitmapTable } from '../image/stored-bitmaps.ts';
import type { BitmapSlot } from './bitmap-slot.ts';

/** @throws RefusedError when a kept bitmap is unsound or shares its clusters */
export async function keptClusters(
  census: SoundCensus,
  wanted: readonly BitmapSlot[],
): Promise<GrowingHostClusters> {
  const { image } = census;
  const kept = noHostClusters(image);
  for (const slot of wanted) {
    if (slot.kind !== 'keep') continue;
    const table = await readBitmapTable(image, slot.entry);
    for (const range of bitmapRanges(image, slot.entry, table)) {
      // The table of an in-use bitmap may be wrong, but QEMU frees its clusters with the bitmap. None may be
      // claimed.
      if (slot.entry.inUse) requireInsideFile(image, slot.entry, range);
      else requireOwn(census, kept, `bitmap "${slot.entry.name}"`, range);
      addRange(kept, range, image.header);
    }
  }
  return kept;
}

/**
 * @param what the name of the range in the message
 * @throws RefusedError when the range overlaps another structure or reaches beyond the end of the file. New
 * clusters are claimed there.
 */
function requireOwn(
  { image, ofImage }: SoundCensus,
  kept: GrowingHostClusters,
  what: string,
  range: HostRange,
): void {
  requireInside(image.storage, () => what, range);
  const taken = [ofImage, kept].flatMap((set) => findOverlap(set, range, image.header) ?? []);
  const [lowest] = taken.toSorted((a, b) => a - b);
  if (lowest !== undefined) throw needsCheck(image, overlapMessage(image, what, range, lowest));
}

function requireInsideFile(
  { storage, header }: Image,
  { name }: BitmapDirectoryEntry,
  { offset, length }: HostRange,
): void {
  if (offset + length <= alignUp(storage.sizeBytes, header.clusterSizeBytes)) return;
  throw new RefusedError(
    'BITMAP_INCONSISTENT',
    `${storage.name}: bitmap "${name}" is marked in-use and points beyond the end of the file at ${hex(storage.sizeBytes)}`,
    {
      remedy: { kind: 'repair-directory', file: storage.name },
      context: { file: storage.name, bitmap: name },
    },
  );
}
