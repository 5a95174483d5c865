/**
 * Enables or disables stored bitmaps: whether QEMU records writes in them.
 */
import { parseReference } from '../../chain/reference.ts';
import { requireStorableName } from '../../checkpoint/names.ts';
import { keep } from '../../plan/bitmap-slot.ts';
import { type ChangeOptions, type EditResult, editBitmaps } from '../change-bitmaps.ts';
import { requireConsistentBitmap } from './find-bitmap.ts';

/** @throws RefusedError when one of the bitmaps does not exist or is in use; then none is changed */
export function enableBitmaps(
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<EditResult> {
  return setRecording(imageName, names, true, options);
}

/** @throws RefusedError when one of the bitmaps does not exist or is in use; then none is changed */
export function disableBitmaps(
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<EditResult> {
  return setRecording(imageName, names, false, options);
}

function setRecording(
  imageName: string,
  names: readonly string[],
  auto: boolean,
  options: ChangeOptions,
): Promise<EditResult> {
  names.forEach(requireStorableName);
  return editBitmaps(parseReference(imageName, undefined), names, options, ({ image, present }) => {
    const changed = new Set(names.map((name) => requireConsistentBitmap(image, present, name)));
    if ([...changed].every((entry) => entry.auto === auto)) return undefined;
    return present.map((entry) => keep(changed.has(entry) ? { ...entry, auto } : entry));
  });
}
