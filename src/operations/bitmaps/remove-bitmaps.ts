/**
 * Removes stored bitmaps; several go in one commit. The only thing that QEMU, too, does to a bitmap in use.
 */

import { parseReference } from '../../chain/reference.ts';
import { storedName } from '../../format/bitmap-directory.ts';
import { type ChangeOptions, type EditResult, editBitmaps } from '../change-bitmaps.ts';
import { requireBitmap } from './find-bitmap.ts';

/** @throws RefusedError when one of the bitmaps does not exist; then none is removed */
export function removeBitmaps(
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<EditResult> {
  return editBitmaps(parseReference(imageName, undefined), names, options, ({ image, present }) => {
    // Bitmaps in use may share a name. What only reads alike, since it is not UTF-8, is another bitmap.
    const removed = new Set(names.map((name) => storedName(requireBitmap(image, present, name))));
    return present
      .filter((entry) => !removed.has(storedName(entry)))
      .map((entry) => ({ kind: 'keep', entry }));
  });
}
