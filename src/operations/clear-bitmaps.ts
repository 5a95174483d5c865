/**
 * Clears the marks of stored bitmaps, which go on recording or not as before.
 */

import { cleanBitmap } from '../bitmap/dirty-bitmap.ts';
import { parseReference } from '../chain/reference.ts';
import { requireStorableName } from '../checkpoint/names.ts';
import { type ChangeOptions, type EditResult, editBitmaps } from './change-bitmaps.ts';
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
    return present.map((entry) => {
      if (!cleared.has(entry)) return { kind: 'keep', entry };
      const { name, nameBytes, auto, granularityBits } = entry;
      const bitmap = cleanBitmap(image.header.virtualSizeBytes, granularityBits);
      return { kind: 'store', name, nameBytes, auto, bitmap };
    });
  });
}
