/**
 * What a plan puts into each place of a new bitmap directory.
 */
import type { DirtyBitmap } from '../bitmap/dirty-bitmap.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';

/** A place in the new directory: a bitmap that stays where it is, or one whose content is to be written. */
export type BitmapSlot =
  | { readonly kind: 'keep'; readonly entry: BitmapDirectoryEntry }
  | {
      readonly kind: 'store';
      readonly nameBytes: Uint8Array;
      readonly name: string;
      readonly auto: boolean;
      /** Marked so: there to be rebuilt under its name, and for QEMU to leave alone. */
      readonly inUse?: boolean;
      readonly bitmap: DirtyBitmap;
    };
