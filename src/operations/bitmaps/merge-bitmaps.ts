/**
 * Merges bitmaps of any granularity into a bitmap of the image. Marks are rounded out, never lost.
 */
import { cleanBitmap, countMissingMarks, mergeInto } from '../../bitmap/dirty-bitmap.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import { parseReference } from '../../chain/reference.ts';
import { requireStorableName } from '../../checkpoint/names.ts';
import { store, withStores } from '../../plan/bitmap-slot.ts';
import { type ChangeOptions, type EditResult, editBitmaps } from '../change-bitmaps.ts';
import { requireConsistentBitmap } from './find-bitmap.ts';
import { type NamedBitmaps, visitNamedBitmaps } from './named-bitmaps.ts';

/**
 * @param sources stored bitmaps of this or another image, or `#ALLOCATED`
 * @throws RefusedError when a bitmap does not exist or is in use, or a source is for a disk of another size
 */
export function mergeBitmaps(
  imageName: string,
  targetName: string,
  sources: NamedBitmaps,
  options: ChangeOptions = {},
): Promise<EditResult> {
  requireStorableName(targetName);
  return editBitmaps(parseReference(imageName, undefined), [targetName], options, async (target) => {
    const { image, present } = target;
    const entry = requireConsistentBitmap(image, present, targetName);
    const added = cleanBitmap(image.header.virtualSizeBytes, entry.granularityBits);
    await visitNamedBitmaps(target.chain, sources, options, (source) => mergeInto(added, source));
    const bitmap = await readBitmap(image, entry);
    if (countMissingMarks(added, bitmap) === 0) return undefined;
    mergeInto(bitmap, added);
    return withStores(present, [store(entry, bitmap)]);
  });
}
