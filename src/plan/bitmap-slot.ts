/**
 * The entries of a planned bitmap directory.
 */
import type { DirtyBitmap } from '../bitmap/dirty-bitmap.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';

/** An entry of the new directory: a bitmap that stays in place, or one to be written. */
export type BitmapSlot =
  | { readonly kind: 'keep'; readonly entry: BitmapDirectoryEntry }
  | {
      readonly kind: 'store';
      readonly nameBytes: Uint8Array;
      readonly name: string;
      readonly auto: boolean;
      /** Sets the in-use flag. QEMU then ignores the bitmap, and a repair finds its name. */
      readonly inUse?: boolean;
      readonly bitmap: DirtyBitmap;
    };
