/**
 * Adds bitmaps without marks, all in one commit.
 */
import { cleanBitmap } from '../../bitmap/dirty-bitmap.ts';
import { parseReference } from '../../chain/reference.ts';
import { requireStorableName } from '../../checkpoint/names.ts';
import { storeNew, withStores } from '../../plan/bitmap-slot.ts';
import { type ChangeOptions, type EditResult, editBitmaps } from '../change-bitmaps.ts';
import { namedTargets } from '../create-from/choose-targets.ts';

export interface AddOptions extends ChangeOptions {
  /** In bytes, a power of two from 512 to 2 GiB; by default QEMU's choice. */
  readonly granularity?: number | undefined;
  /** The bitmaps do not record writes. */
  readonly disabled?: boolean | undefined;
}

/** @throws RefusedError when a bitmap of one of the names exists; then none is added */
export function addBitmaps(
  imageName: string,
  names: readonly string[],
  options: AddOptions = {},
): Promise<EditResult> {
  names.forEach(requireStorableName);
  return editBitmaps(parseReference(imageName, undefined), names, options, (image) => {
    const { granularity, disabled } = options;
    const targets = namedTargets(image, names, { granularity });
    const { virtualSizeBytes } = image.image.header;
    // All of them have the same granularity and no marks.
    const bitmap = cleanBitmap(virtualSizeBytes, targets[0]!.granularityBits);
    const added = targets.map(({ name }) => storeNew(name, disabled !== true, bitmap));
    return withStores(image.present, added);
  });
}
