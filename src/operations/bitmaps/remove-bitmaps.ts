/**
 * Removes stored bitmaps, all in one commit. Removal is the only change that QEMU allows for a bitmap in use.
 */
import { parseReference } from '../../chain/reference.ts';
import { storedName } from '../../format/bitmap-directory.ts';
import { keep } from '../../plan/bitmap-slot.ts';
import { type ChangeOptions, type EditResult, editBitmaps } from '../change-bitmaps.ts';
import { requireBitmap } from './find-bitmap.ts';

/** @throws RefusedError when one of the bitmaps does not exist; then none is removed */
export function removeBitmaps(
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<EditResult> {
  return editBitmaps(parseReference(imageName, undefined), names, options, ({ image, present }) => {
    // Bitmaps in use may share a name. Names that are not UTF-8 may decode alike, but their bitmaps are
    // different ones.
    const removed = new Set(names.map((name) => storedName(requireBitmap(image, present, name))));
    return present.filter((entry) => !removed.has(storedName(entry))).map(keep);
  });
}
