/**
 * Finds bitmaps by name.
 */
import { RefusedError } from '../../errors.ts';
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';
import type { Image } from '../../image/image.ts';

const indexes = new WeakMap<readonly BitmapDirectoryEntry[], Map<string, BitmapDirectoryEntry>>();

/**
 * The first bitmap of that name. A directory is indexed only once, since it may have 65535 entries, and as
 * many names may be looked up.
 */
export function findBitmap(
  entries: readonly BitmapDirectoryEntry[],
  name: string,
): BitmapDirectoryEntry | undefined {
  const index = indexes.get(entries) ?? new Map(entries.toReversed().map((entry) => [entry.name, entry]));
  indexes.set(entries, index);
  return index.get(name);
}

/** @throws RefusedError with the names of the existing bitmaps */
export function requireBitmap(
  { storage }: Image,
  entries: readonly BitmapDirectoryEntry[],
  name: string,
): BitmapDirectoryEntry {
  const entry = findBitmap(entries, name);
  if (entry !== undefined) return entry;
  const names = entries.map((each) => each.name);
  throw new RefusedError('BITMAP_NOT_FOUND', `${storage.name}: no bitmap "${name}"`, {
    remedy: { kind: 'name-existing-bitmap', names },
    context: { file: storage.name, bitmap: name, bitmaps: names },
  });
}

/** @throws RefusedError also when the bitmap is in use, since QEMU only allows its removal */
export function requireConsistentBitmap(
  image: Image,
  entries: readonly BitmapDirectoryEntry[],
  name: string,
): BitmapDirectoryEntry {
  const entry = requireBitmap(image, entries, name);
  if (!entry.inUse) return entry;
  const file = image.storage.name;
  throw new RefusedError(
    'BITMAP_INCONSISTENT',
    `${file}: bitmap "${name}" is marked in-use: it was not stored after its last use, so its content is not valid`,
    {
      remedy: { kind: 'replace-bitmap', file, name },
      context: { file, bitmap: name },
    },
  );
}
