/**
 * Clears the marks of stored bitmaps. Their recording state does not change.
 */
import { cleanBitmap, type DirtyBitmap } from '../../bitmap/dirty-bitmap.ts';
import { parseReference } from '../../chain/reference.ts';
import { requireStorableName } from '../../checkpoint/names.ts';
import { store, withStores } from '../../plan/bitmap-slot.ts';
import { type ChangeOptions, type EditResult, editBitmaps } from '../change-bitmaps.ts';
import { requireConsistentBitmap } from './find-bitmap.ts';

/** @throws RefusedError when one of the bitmaps does not exist or is in use; then none is cleared */
export function clearBitmaps(
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<EditResult> {
  names.forEach(requireStorableName);
  return editBitmaps(parseReference(imageName, undefined), names, options, ({ image, present }) => {
    const cleared = new Set(names.map((name) => requireConsistentBitmap(image, present, name)));
    // Clean bitmaps of one granularity are equal, so they share memory.
    const clean = new Map<number, DirtyBitmap>();
    const cleanAt = (granularityBits: number): DirtyBitmap => {
      const bitmap =
        clean.get(granularityBits) ?? cleanBitmap(image.header.virtualSizeBytes, granularityBits);
      clean.set(granularityBits, bitmap);
      return bitmap;
    };
    const stores = Array.from(cleared, (entry) => store(entry, cleanAt(entry.granularityBits)));
    return withStores(present, stores);
  });
}
