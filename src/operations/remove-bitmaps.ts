/**
 * Removes stored bitmaps; several go in one commit. The only thing that QEMU, too, does to a bitmap in use.
 */
import { parseReference } from '../chain/reference.ts';
import { type ChangeOptions, type EditResult, editBitmaps } from './change-bitmaps.ts';
import { requireBitmap } from './find-bitmap.ts';

/** @throws RefusedError when one of the bitmaps does not exist; then none is removed */
export function removeBitmaps(
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<EditResult> {
  return editBitmaps(parseReference(imageName, undefined), names, options, ({ image, present }) => {
    const removed = new Set(names.map((name) => requireBitmap(image, present, name).name));
    return present.filter((entry) => !removed.has(entry.name)).map((entry) => ({ kind: 'keep', entry }));
  });
}
