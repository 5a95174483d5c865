/**
 * Decides for each bitmap in a directory repair: keep it, keep only its name, or drop it.
 */
import { cleanBitmap, type DirtyBitmap } from '../bitmap/dirty-bitmap.ts';
import { isStorable, storableGranularityBits } from '../bitmap/granularity.ts';
import { readBitmap } from '../bitmap/read-bitmap.ts';
import { type BitmapDirectoryEntry, isGranularity, storedName } from '../format/bitmap-directory.ts';
import { MAX_BITMAPS } from '../format/bitmaps-extension.ts';
import type { Image } from '../image/image.ts';
import type { InspectedBitmap } from '../inspection/inspect-bitmaps.ts';
import { type BitmapSlot, keep, store } from './bitmap-slot.ts';

/**
 * `kept`: unchanged. `trimmed`: rewritten without the bits past the end of the disk. `marked-in-use`: the
 * name is kept, and the granularity if it is valid. A checkpoint repair can then refill the bitmap.
 * `dropped`: removed.
 */
export type BitmapFate = 'kept' | 'trimmed' | 'marked-in-use' | 'dropped';

export interface MendedBitmap {
  readonly bitmap: InspectedBitmap;
  readonly fate: BitmapFate;
  /** Its entry in the new directory, unless it is dropped. */
  readonly slot: BitmapSlot | undefined;
}

/**
 * Returns the bitmaps in the order of the directory. Of bitmaps with the same name the first is kept and
 * marked in-use.
 */
export async function mendDirectory(
  image: Image,
  bitmaps: readonly InspectedBitmap[],
): Promise<MendedBitmap[]> {
  const counts = new Map<string, number>();
  for (const { entry, nameable } of bitmaps) {
    if (entry !== undefined && nameable)
      counts.set(storedName(entry), (counts.get(storedName(entry)) ?? 0) + 1);
  }
  const placeholder = emptyBitmaps(image);
  const taken = new Set<string>();
  const mended: MendedBitmap[] = [];
  for (const bitmap of bitmaps) {
    const { entry, trusted, nameable, problems } = bitmap;
    const key = entry === undefined ? '' : storedName(entry);
    // A version 2 image cannot have bitmaps.
    const mayStay = (nameable || trusted) && image.header.version === 3;
    if (entry === undefined || !mayStay || taken.has(key) || taken.size === MAX_BITMAPS) {
      mended.push({ bitmap, fate: 'dropped', slot: undefined });
      continue;
    }
    taken.add(key);
    const isOnly = (counts.get(key) ?? 1) === 1;
    if (trusted && isOnly && problems.some(({ code }) => code === 'bits-past-end')) {
      mended.push({ bitmap, fate: 'trimmed', slot: store(entry, await readBitmap(image, entry)) });
    } else if (isOnly && (trusted || isOnlyInUse(bitmap))) {
      mended.push({ bitmap, fate: 'kept', slot: keep(entry) });
    } else {
      mended.push({ bitmap, fate: 'marked-in-use', slot: inUseSlot(image, bitmap, entry, placeholder) });
    }
  }
  return mended;
}

function isOnlyInUse({ ownsItsClusters, problems }: InspectedBitmap): boolean {
  return ownsItsClusters && problems.length > 0 && problems.every(({ code }) => code === 'in-use');
}

/**
 * The bits stay readable if the bitmap shares no cluster. Otherwise it gets an empty table. Without the name
 * in this image, a checkpoint would seem to begin above it. So the name is kept even if the granularity is
 * invalid.
 */
function inUseSlot(
  { header }: Image,
  { ownsItsClusters }: InspectedBitmap,
  entry: BitmapDirectoryEntry,
  placeholder: (granularityBits: number) => DirtyBitmap,
): BitmapSlot {
  const { granularityBits: stored } = entry;
  const isUsable = isGranularity(stored) && isStorable(header.virtualSizeBytes, stored);
  if (ownsItsClusters && isUsable) return keep({ ...entry, inUse: true });
  const granularityBits = isUsable ? stored : storableGranularityBits(header);
  return { ...store(entry, placeholder(granularityBits)), inUse: true };
}

/** Makes one empty bitmap for each granularity, to save memory. */
function emptyBitmaps({ header }: Image): (granularityBits: number) => DirtyBitmap {
  const made = new Map<number, DirtyBitmap>();
  return (granularityBits) => {
    const bitmap = made.get(granularityBits) ?? cleanBitmap(header.virtualSizeBytes, granularityBits);
    made.set(granularityBits, bitmap);
    return bitmap;
  };
}
