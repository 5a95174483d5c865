/**
 * Reads the table of one bitmap and continues after errors.
 */
import { findBit } from '../bytes/bits.ts';
import { clustersIn, eachCluster, type HostCluster, type HostOffset } from '../format/addresses.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import { bitmapTableEntryCount, isGranularity } from '../format/bitmap-directory.ts';
import {
  BITMAP_TABLE_ENTRY_BYTES,
  type BitmapTableEntry,
  decodeBitmapTable,
} from '../format/bitmap-table.ts';
import { FormatError, hex } from '../format/format-error.ts';
import type { Image } from '../image/image.ts';
import { bitmapRanges, readUnsoundTable } from '../image/stored-bitmaps.ts';
import { readBytes } from '../storage/storage.ts';
import { counted } from '../text/counted.ts';
import type { Problem } from './problem.ts';

type TableProblem = Pick<Problem, 'code' | 'message' | 'offset' | 'clusters'>;

export interface ExaminedTable {
  /** The decodable part of the table. It may be wrong if the table has problems. */
  readonly table: readonly BitmapTableEntry[];
  readonly problems: readonly TableProblem[];
}

/** @param entry has a valid table offset and table size */
export async function examineTable(image: Image, entry: BitmapDirectoryEntry): Promise<ExaminedTable> {
  const { storage, header } = image;
  const { tableOffset, tableEntryCount } = entry;
  const lengthBytes = tableEntryCount * BITMAP_TABLE_ENTRY_BYTES;
  const where = `the table of bitmap "${entry.name}" at ${hex(tableOffset)}`;
  if (tableOffset + lengthBytes > storage.sizeBytes) {
    const message = `${where} (${lengthBytes} bytes) reaches beyond the end of the file at ${hex(storage.sizeBytes)}`;
    const problem: TableProblem = { code: 'table-beyond-end', message, offset: tableOffset };
    return { table: await readUnsoundTable(image, entry), problems: [problem] };
  }
  let table: BitmapTableEntry[];
  try {
    table = decodeBitmapTable(await readBytes(storage, tableOffset, lengthBytes), header);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const problem: TableProblem = {
      code: 'table-entry',
      message: `${where}: ${error.message}`,
      offset: tableOffset,
    };
    return { table: await readUnsoundTable(image, entry), problems: [problem] };
  }
  const isBeyond = (each: BitmapTableEntry): each is { dataOffset: HostOffset } =>
    typeof each === 'object' && each.dataOffset + header.clusterSizeBytes > storage.sizeBytes;
  const beyond = table.filter(isBeyond);
  if (beyond.length === 0) return { table, problems: [] };
  const { dataOffset } = beyond[0]!;
  const problem: TableProblem = {
    code: 'data-beyond-end',
    message: `${counted(beyond.length, 'data cluster')} of bitmap "${entry.name}", ${beyond.length === 1 ? `at ${hex(dataOffset)}, reaches` : `the first at ${hex(dataOffset)}, reach`} beyond the end of the file at ${hex(storage.sizeBytes)}`,
    offset: dataOffset,
    clusters: beyond.length,
  };
  return { table: table.filter((each) => !isBeyond(each)), problems: [problem] };
}

/** Yields the clusters of a bitmap's table and of its data. */
export function* bitmapClusters(
  image: Image,
  entry: BitmapDirectoryEntry,
  table: readonly BitmapTableEntry[],
): Generator<HostCluster> {
  for (const range of bitmapRanges(image, entry, table)) yield* eachCluster(clustersIn(range, image.header));
}

/**
 * Whether the stored bitmap has bits set past the end of the disk. A table entry for all ones does not count:
 * it always covers the whole cluster.
 */
export async function hasBitsPastEnd(
  { storage, header }: Image,
  entry: BitmapDirectoryEntry,
  table: readonly BitmapTableEntry[],
): Promise<boolean> {
  const { clusterSizeBytes, virtualSizeBytes } = header;
  if (!isGranularity(entry.granularityBits)) return false;
  const entryCount = bitmapTableEntryCount(virtualSizeBytes, entry.granularityBits, header);
  const last = table[entryCount - 1];
  if (table.length !== entryCount || typeof last !== 'object') return false;
  const granules = Math.ceil(virtualSizeBytes / 2 ** entry.granularityBits);
  const first = granules - (entryCount - 1) * clusterSizeBytes * 8;
  const bytes = await readBytes(storage, last.dataOffset, clusterSizeBytes);
  return findBit(bytes, 1, first, clusterSizeBytes * 8) < clusterSizeBytes * 8;
}
