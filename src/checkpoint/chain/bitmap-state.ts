/**
 * The state of a checkpoint's bitmap in one image of a chain.
 */
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';

/**
 * `good`: enabled and not in use. `stale`: the directory is outdated, because software without support for
 * bitmaps has changed the image (autoclear bit 0 is clear). QEMU and libvirt do not see such a bitmap.
 * `unreadable`: the directory or the bitmap's table breaks a rule by which QEMU refuses the whole image, or
 * has an impossible offset. `recording`: in use by a program that has the image open for writing, which is
 * normal. `unknown`: not in the file, but such a program may have it, because QEMU stores a new bitmap when it
 * closes the image.
 */
export type BitmapState =
  | 'missing'
  | 'good'
  | 'disabled'
  | 'in-use'
  | 'stale'
  | 'unreadable'
  | 'recording'
  | 'unknown';

/** Whether only the program that has the image open for writing knows the bitmap. */
export function isInMemory(state: BitmapState): state is 'recording' | 'unknown' {
  return state === 'recording' || state === 'unknown';
}

export function stateOfEntry({ auto, inUse }: BitmapDirectoryEntry): BitmapState {
  if (inUse) return 'in-use';
  return auto ? 'good' : 'disabled';
}

/** Whether libvirt accepts it as the bitmap of a checkpoint. */
export function isGood(entry: BitmapDirectoryEntry): boolean {
  return stateOfEntry(entry) === 'good';
}

/**
 * Index of the lowest image that has the bitmap, in any state. The XML may show that the checkpoint began
 * lower: `known/origin-evidence.ts` finds its origin.
 */
export function lowestHolderIndex(states: readonly BitmapState[]): number | undefined {
  const index = states.findLastIndex((state) => state !== 'missing');
  return index < 0 ? undefined : index;
}
