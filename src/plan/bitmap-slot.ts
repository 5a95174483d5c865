/**
 * The entries of a planned bitmap directory.
 */
import type { DirtyBitmap } from '../bitmap/dirty-bitmap.ts';
import { type BitmapDirectoryEntry, storedName } from '../format/bitmap-directory.ts';

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

export type StoreSlot = Extract<BitmapSlot, { kind: 'store' }>;

export function keep(entry: BitmapDirectoryEntry): BitmapSlot {
  return { kind: 'keep', entry };
}

/** A bitmap to be written under a name as it is stored, for example that of an entry. */
export function store(
  { name, nameBytes, auto }: Pick<BitmapDirectoryEntry, 'name' | 'nameBytes' | 'auto'>,
  bitmap: DirtyBitmap,
): StoreSlot {
  return { kind: 'store', name, nameBytes, auto, bitmap };
}

/** A bitmap to be written under a new name. */
export function storeNew(name: string, auto: boolean, bitmap: DirtyBitmap): StoreSlot {
  return store({ name, nameBytes: new TextEncoder().encode(name), auto }, bitmap);
}

/** A stored bitmap takes the place of the present one of its name, or is added at the end. */
export function withStores(
  present: readonly BitmapDirectoryEntry[],
  stores: Iterable<StoreSlot>,
): BitmapSlot[] {
  const added = new Map(Array.from(stores, (slot) => [storedName(slot), slot]));
  const kept = present.map((entry) => {
    const slot = added.get(storedName(entry));
    added.delete(storedName(entry));
    return slot ?? keep(entry);
  });
  return [...kept, ...added.values()];
}
