/**
 * The bitmap directory of an image and the tables it names, read as QEMU reads them when it opens the image.
 */
import { alignUp, divideUp } from '../bytes/align.ts';
import { RefusedError } from '../errors.ts';
import type { HostRange } from '../format/addresses.ts';
import { type BitmapDirectoryEntry, MAX_ENTRY_BYTES } from '../format/bitmap-directory.ts';
import type { Violation } from '../format/bitmap-rules.ts';
import {
  BITMAP_TABLE_ENTRY_BYTES,
  type BitmapTableEntry,
  decodeBitmapTable,
  possibleDataOffsets,
} from '../format/bitmap-table.ts';
import { MAX_BITMAP_DIRECTORY_BYTES } from '../format/bitmaps-extension.ts';
import { FormatError, hex } from '../format/format-error.ts';
import {
  type ExaminedDirectory,
  examineBitmapDirectory,
  parseBitmapDirectory,
} from '../format/parse-directory.ts';
import { readStructure } from '../storage/storage.ts';
import { type Image, naming, readInside, requireInside, requireOwnClusters } from './image.ts';

/**
 * The bitmaps that QEMU would see: none when the extension is missing or stale.
 *
 * @throws RefusedError when the directory breaks a rule by which QEMU refuses the image
 */
export async function readBitmapDirectory(image: Image): Promise<BitmapDirectoryEntry[]> {
  if (image.bitmaps.kind !== 'live') return [];
  const { directory } = image.bitmaps;
  const bytes = await readInside(image, 'the bitmap directory', directory.offset, directory.sizeBytes);
  const entries = naming(image.storage, () => parseBitmapDirectory(bytes, directory, image.header));
  const { clusterSizeBytes } = image.header;
  const tables = entries.filter((entry) => hasTable(image, entry));
  requireOwnClusters(
    image,
    'the tables of its bitmaps',
    tables.reduce((sum, entry) => sum + divideUp(tableBytes(entry), clusterSizeBytes), 0),
  );
  return entries;
}

function tableBytes({ tableEntryCount }: BitmapDirectoryEntry): number {
  return tableEntryCount * BITMAP_TABLE_ENTRY_BYTES;
}

/** Whether the table lies inside the file. The entry of a bitmap in use may have any offset. */
function hasTable({ storage }: Image, entry: BitmapDirectoryEntry): boolean {
  return entry.tableOffset + tableBytes(entry) <= storage.sizeBytes;
}

/**
 * Reads the directory as far as possible, entry by entry, with each rule that it breaks. It also reads a
 * stale one.
 */
export async function examineDirectory(image: Image): Promise<ExaminedDirectory> {
  const { storage, header, bitmaps } = image;
  if (bitmaps.kind === 'none' || bitmaps.directory.offset === undefined)
    return { entries: [], violations: [] };
  const { offset, bitmapCount, sizeBytes } = bitmaps.directory;
  const wantedBytes = sizeBytes ?? (bitmapCount ?? 1) * MAX_ENTRY_BYTES;
  // The rest of the last cluster is examined too, because the stored size may be wrong.
  const lengthBytes = Math.min(
    alignUp(wantedBytes, header.clusterSizeBytes),
    MAX_BITMAP_DIRECTORY_BYTES,
    Math.max(0, storage.sizeBytes - offset),
  );
  const bytes = await readStructure(storage, offset, lengthBytes);
  const { entries, violations } = examineBitmapDirectory(bytes, bitmaps.directory, header);
  if (sizeBytes === undefined || offset + sizeBytes <= storage.sizeBytes) return { entries, violations };
  const beyond: Violation = {
    rule: 'directory-beyond-end',
    message: `bitmap directory at ${hex(offset)}: its ${sizeBytes} bytes reach beyond the end of the file at ${hex(storage.sizeBytes)}`,
  };
  return { entries, violations: [beyond, ...violations] };
}

/**
 * Reads the table of a bitmap. Every cluster that it names lies inside the file: QEMU would read zeros beyond
 * the end, and store them as clean.
 * QEMU does not read the table of a bitmap in use. For such a bitmap, the readable part is returned.
 *
 * @throws RefusedError when the table or a cluster reaches beyond the file, or an entry breaks the
 * specification
 */
export async function readBitmapTable(
  image: Image,
  entry: BitmapDirectoryEntry,
): Promise<readonly BitmapTableEntry[]> {
  if (!entry.inUse) return readSoundTable(image, entry);
  try {
    return await readSoundTable(image, entry);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    return readUnsoundTable(image, entry);
  }
}

/** Reads a table by the rules for a bitmap that is not in use. */
export async function readSoundTable(image: Image, entry: BitmapDirectoryEntry): Promise<BitmapTableEntry[]> {
  const { storage, header } = image;
  const what = `bitmap "${entry.name}"`;
  const bytes = await readInside(image, `the table of ${what}`, entry.tableOffset, tableBytes(entry));
  const table = naming(storage, () => {
    try {
      return decodeBitmapTable(bytes, header);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw new FormatError(`${what}: ${error.message}`, {
        remedy: (file) => ({ kind: 'remove-bitmap', file, name: entry.name }),
      });
    }
  });
  for (const each of table) {
    if (typeof each === 'object') {
      const range = { offset: each.dataOffset, length: header.clusterSizeBytes };
      requireInside(storage, () => `a data cluster of ${what}`, range);
    }
  }
  return table;
}

/** Every cluster that a broken table might name, inside the file or not. */
export async function readUnsoundTable(
  image: Image,
  entry: BitmapDirectoryEntry,
): Promise<BitmapTableEntry[]> {
  if (!hasTable(image, entry)) return [];
  const bytes = await readStructure(image.storage, entry.tableOffset, tableBytes(entry));
  return possibleDataOffsets(bytes, image.header).map((dataOffset) => ({ dataOffset }));
}

/** Ranges of the file that a bitmap occupies: its table, then its data clusters. */
export function bitmapRanges(
  { header }: Image,
  entry: BitmapDirectoryEntry,
  table: readonly BitmapTableEntry[],
): HostRange[] {
  const ranges = [{ offset: entry.tableOffset, length: tableBytes(entry) }];
  for (const each of table) {
    if (typeof each === 'object') ranges.push({ offset: each.dataOffset, length: header.clusterSizeBytes });
  }
  return ranges;
}

/** @throws RefusedError when the bitmaps are stale */
export function refuseStaleBitmaps({ storage, bitmaps }: Image): void {
  if (bitmaps.kind !== 'stale') return;
  throw new RefusedError(
    'BITMAP_INCONSISTENT',
    `${storage.name}: its bitmaps are not valid (autoclear bit 0 is clear): software without support for bitmaps changed the image, or a change of its bitmaps was interrupted`,
    {
      remedy: { kind: 'keep-outdated-names', file: storage.name },
      context: { file: storage.name },
    },
  );
}
