/**
 * The stored bitmap directory of an image. Broken rules are ignored.
 */
import { alignUp } from '../bytes/align.ts';
import { cStringBytes } from '../bytes/c-string.ts';
import { decodeName, entryStruct } from '../format/bitmap-directory.ts';
import { type StoredFields, storedFields } from './stored-header.ts';

interface StoredDirectoryEntry {
  /** Its offset in the image. */
  readonly offset: number;
  readonly name: string;
  readonly fields: StoredFields;
}

export interface StoredDirectory {
  readonly offset: number;
  readonly entries: readonly StoredDirectoryEntry[];
  /**
   * Offset of an entry that the end of the directory or of the file cuts off. null where all are complete.
   */
  readonly cutOffAt: number | null;
}

/** @param bytes the directory, which begins at `offset` */
export function storedDirectory(bytes: Uint8Array, offset: number): StoredDirectory {
  const entries: StoredDirectoryEntry[] = [];
  for (let at = 0; at < bytes.length; ) {
    const nameSizeEnd = at + entryStruct.sizeBytes;
    if (nameSizeEnd > bytes.length) return { offset, entries, cutOffAt: offset + at };
    const fields = storedFields(entryStruct.stored(bytes, at));
    const nameStart = nameSizeEnd + Number(fields['extra_data_size']);
    const end = nameStart + Number(fields['name_size']);
    if (end > bytes.length) return { offset, entries, cutOffAt: offset + at };
    const name = decodeName(cStringBytes(bytes.slice(nameStart, end)));
    entries.push({ offset: offset + at, name, fields });
    at = alignUp(end, 8);
  }
  return { offset, entries, cutOffAt: null };
}
