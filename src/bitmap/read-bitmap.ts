/**
 * Reads a stored bitmap into memory.
 */
import { divideUp } from '../bytes/align.ts';
import { replaceBytes, setRange } from '../bytes/chunked-bits.ts';
import { RefusedError } from '../errors.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import { bitmapTableEntryCount } from '../format/bitmap-directory.ts';
import type { BitmapTableEntry } from '../format/bitmap-table.ts';
import type { Image } from '../image/image.ts';
import { readBitmapTable, readSoundTable } from '../image/stored-bitmaps.ts';
import { cleanBitmap, type DirtyBitmap } from './dirty-bitmap.ts';

/**
 * @param table the bitmap's table, when the caller has read it already
 * @throws RefusedError when its table or data is invalid by the specification
 */
export async function readBitmap(
  image: Image,
  entry: BitmapDirectoryEntry,
  table?: readonly BitmapTableEntry[],
): Promise<DirtyBitmap> {
  const { storage, header } = image;
  const { clusterSizeBytes, virtualSizeBytes } = header;
  const entries = table ?? (await readBitmapTable(image, entry));
  const bitmap = cleanBitmap(virtualSizeBytes, entry.granularityBits);
  const { bits } = bitmap;
  const bytes = new Uint8Array(Math.min(clusterSizeBytes, divideUp(bits.bitCount, 8)));
  // The table of an in-use bitmap may have any size.
  const needed = bitmapTableEntryCount(virtualSizeBytes, entry.granularityBits, header);
  for (const [index, each] of entries.slice(0, needed).entries()) {
    if (each === 'zeros') continue;
    const start = index * clusterSizeBytes;
    if (each === 'ones') {
      setRange(bits, start * 8, (start + clusterSizeBytes) * 8);
      continue;
    }
    const part = bytes.subarray(0, divideUp(bits.bitCount, 8) - start);
    await storage.read(each.dataOffset, part);
    replaceBytes(bits, start, part);
  }
  return bitmap;
}

/**
 * Reads the marks of an in-use bitmap. They may cover some of the later writes, never all. QEMU does not read
 * the table of such a bitmap. Undefined if the table does not fit a bitmap of this disk.
 */
export async function readInUseMarks(
  image: Image,
  entry: BitmapDirectoryEntry,
): Promise<DirtyBitmap | undefined> {
  const { header } = image;
  const needed = bitmapTableEntryCount(header.virtualSizeBytes, entry.granularityBits, header);
  if (entry.tableEntryCount !== needed) return undefined;
  try {
    return await readBitmap(image, entry, await readSoundTable(image, entry));
  } catch (error) {
    if (error instanceof RefusedError) return undefined;
    throw error;
  }
}
