/**
 * What one image of a chain has under a checkpoint's name.
 */
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';

/**
 * `good`: enabled and not in use. `stale`: in a directory that is outdated, since software that knows no bitmaps has
 * changed the image (autoclear bit 0 is clear); for QEMU and libvirt it is not there. `unreadable`: the directory, or the
 * bitmap's table, breaks a rule by which QEMU refuses the whole image, or lies where it cannot be. `recording`: in use by
 * a program that has the image open for writing, which is normal then.
 */
export type BitmapState = 'missing' | 'good' | 'disabled' | 'in-use' | 'stale' | 'unreadable' | 'recording';

export function stateOfEntry({ auto, inUse }: BitmapDirectoryEntry): BitmapState {
  if (inUse) return 'in-use';
  return auto ? 'good' : 'disabled';
}

/** Whether libvirt would take it as the bitmap of a checkpoint. */
export function isGood(entry: BitmapDirectoryEntry): boolean {
  return stateOfEntry(entry) === 'good';
}

/** Index of the image that was active when the checkpoint was made: the lowest that has its bitmap in any state. */
export function originIndex(states: readonly BitmapState[]): number | undefined {
  const index = states.findLastIndex((state) => state !== 'missing');
  return index < 0 ? undefined : index;
}
