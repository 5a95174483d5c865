/**
 * The bitmap directory ("Bitmap directory" in the specification), with the rules by which QEMU refuses an image.
 */
import { alignUp, divideUp } from '../bytes/align.ts';
import { OffsetTooLargeError, struct } from '../bytes/struct.ts';
import { type BitmapDirectoryLocation, UNOPENABLE_HINT } from './bitmaps-extension.ts';
import { FormatError, hex } from './format-error.ts';
import type { Header } from './header.ts';

const entryStruct = struct({
  bitmapTableOffset: [0, 'offset'],
  bitmapTableSize: [8, 'u32'],
  flags: [12, 'u32'],
  type: [16, 'u8'],
  granularityBits: [17, 'u8'],
  nameSize: [18, 'u16'],
  extraDataSize: [20, 'u32'],
});

const FLAG_IN_USE = 1 << 0;
const FLAG_AUTO = 1 << 1;
const DIRTY_TRACKING_BITMAP = 1;

export const MIN_GRANULARITY_BITS = 9;
export const MAX_GRANULARITY_BITS = 31;
export const MAX_BITMAP_NAME_BYTES = 1023;
/** QEMU's BME_MAX_TABLE_SIZE, in entries. */
const MAX_TABLE_ENTRIES = 0x8000000;
/** QEMU's BME_MAX_PHYS_SIZE: what the data of one bitmap may take. */
export const MAX_BITMAP_BYTES = 512 * 1024 * 1024;

export interface BitmapDirectoryEntry {
  /** The name as stored. */
  readonly nameBytes: Uint8Array;
  /** The name as text; bytes that are not UTF-8 appear as \xNN. */
  readonly name: string;
  readonly granularityBits: number;
  /** Records writes whenever QEMU has the image open ("auto"); libvirt calls it enabled. */
  readonly auto: boolean;
  /** Was not stored after its last use: normal under a running guest, otherwise its content is worthless. */
  readonly inUse: boolean;
  readonly tableOffset: number;
  readonly tableEntryCount: number;
}

/** Entries that the table of a bitmap over `virtualSizeBytes` has: one for each cluster of its data. */
export function bitmapTableEntryCount(
  virtualSizeBytes: number,
  granularityBits: number,
  header: Header,
): number {
  return divideUp(bitmapBytes(virtualSizeBytes, granularityBits), header.clusterSizeBytes);
}

/** Bytes that the bits of a bitmap take. */
export function bitmapBytes(virtualSizeBytes: number, granularityBits: number): number {
  return divideUp(divideUp(virtualSizeBytes, 2 ** granularityBits), 8);
}

/**
 * @param bytes the directory, `location.sizeBytes` long
 * @throws FormatError for anything that makes QEMU refuse the image
 */
export function parseBitmapDirectory(
  bytes: Uint8Array,
  location: BitmapDirectoryLocation,
  header: Header,
): BitmapDirectoryEntry[] {
  const entries: BitmapDirectoryEntry[] = [];
  const names = new Set<string>();
  let at = 0;
  while (at < bytes.length) {
    const where = `bitmap directory entry ${entries.length} at ${hex(location.offset + at)}`;
    if (entries.length === location.bitmapCount) {
      throw broken(where, `the extension counts only ${location.bitmapCount} bitmaps`);
    }
    if (at + entryStruct.sizeBytes > bytes.length) throw broken(where, 'cut off by the end of the directory');
    const raw = readEntry(bytes, at, where);
    const nameOffset = at + entryStruct.sizeBytes;
    const end = at + entryBytes(raw.nameSize, raw.extraDataSize);
    if (end > bytes.length) throw broken(where, 'cut off by the end of the directory');
    if (raw.extraDataSize !== 0) {
      throw broken(where, `extra_data_size is ${raw.extraDataSize}, must be 0 (QEMU knows no extra data)`);
    }
    const nameBytes = bytes.slice(nameOffset, nameOffset + raw.nameSize);
    const name = decodeName(nameBytes);
    const entry: BitmapDirectoryEntry = {
      nameBytes,
      name,
      granularityBits: raw.granularityBits,
      auto: (raw.flags & FLAG_AUTO) !== 0,
      inUse: (raw.flags & FLAG_IN_USE) !== 0,
      tableOffset: raw.bitmapTableOffset,
      tableEntryCount: raw.bitmapTableSize,
    };
    checkEntry(raw, entry, header, `${where} ("${name}")`);
    // An in-use entry may repeat a name: QEMU reads nothing for it.
    const key = String.fromCharCode(...nameBytes);
    if (names.has(key) && !entry.inUse) throw broken(where, `"${name}" is the name of an earlier entry too`);
    names.add(key);
    entries.push(entry);
    at = end;
  }
  if (entries.length !== location.bitmapCount) {
    throw broken(
      `bitmap directory at ${hex(location.offset)}`,
      `${entries.length} entries found, the extension counts ${location.bitmapCount}`,
    );
  }
  return entries;
}

function readEntry(bytes: Uint8Array, at: number, where: string) {
  try {
    return entryStruct.read(bytes, at);
  } catch (error) {
    if (!(error instanceof OffsetTooLargeError)) throw error;
    throw broken(where, error.message);
  }
}

function checkEntry(
  raw: ReturnType<typeof readEntry>,
  entry: BitmapDirectoryEntry,
  header: Header,
  where: string,
): void {
  const { granularityBits, tableOffset, tableEntryCount } = entry;
  const reservedFlags = raw.flags & ~(FLAG_IN_USE | FLAG_AUTO);
  if (reservedFlags !== 0) throw broken(where, `flags are ${hex(raw.flags)}, only bits 0 and 1 may be set`);
  if (raw.type !== DIRTY_TRACKING_BITMAP) {
    throw broken(where, `type is ${raw.type}, must be ${DIRTY_TRACKING_BITMAP} (dirty tracking bitmap)`);
  }
  if (granularityBits < MIN_GRANULARITY_BITS || granularityBits > MAX_GRANULARITY_BITS) {
    throw broken(
      where,
      `granularity_bits is ${granularityBits}, must be ${MIN_GRANULARITY_BITS}…${MAX_GRANULARITY_BITS}`,
    );
  }
  // The specification wants a name; QEMU opens an image with an empty one.
  if (raw.nameSize > MAX_BITMAP_NAME_BYTES) {
    throw broken(where, `name_size is ${raw.nameSize}, must be at most ${MAX_BITMAP_NAME_BYTES}`);
  }
  if (tableOffset === 0 || tableOffset % header.clusterSizeBytes !== 0) {
    throw broken(
      where,
      `bitmap_table_offset is ${hex(tableOffset)}, must be a multiple of the cluster size and not 0`,
    );
  }
  if (
    tableEntryCount === 0 ||
    tableEntryCount > MAX_TABLE_ENTRIES ||
    tableEntryCount * header.clusterSizeBytes > MAX_BITMAP_BYTES
  ) {
    throw broken(
      where,
      `bitmap_table_size is ${tableEntryCount}, must stand for 1…${MAX_BITMAP_BYTES} bytes`,
    );
  }
  const needed = bitmapTableEntryCount(header.virtualSizeBytes, granularityBits, header);
  if (!entry.inUse && tableEntryCount !== needed) {
    throw broken(where, `bitmap_table_size is ${tableEntryCount}, must be ${needed} for this disk`);
  }
}

function broken(where: string, what: string): FormatError {
  return new FormatError(`${where}: ${what} (spec: "Bitmap directory")`, { hint: UNOPENABLE_HINT });
}

function entryBytes(nameSize: number, extraDataSize: number): number {
  return alignUp(entryStruct.sizeBytes + nameSize + extraDataSize, 8);
}

/** Bytes that `entries` take as a directory. */
export function bitmapDirectoryBytes(entries: readonly Pick<BitmapDirectoryEntry, 'nameBytes'>[]): number {
  return entries.reduce((sum, { nameBytes }) => sum + entryBytes(nameBytes.length, 0), 0);
}

export function encodeBitmapDirectory(entries: readonly BitmapDirectoryEntry[]): Uint8Array {
  const bytes = new Uint8Array(bitmapDirectoryBytes(entries));
  let at = 0;
  for (const entry of entries) {
    entryStruct.write(
      bytes,
      {
        bitmapTableOffset: entry.tableOffset,
        bitmapTableSize: entry.tableEntryCount,
        flags: (entry.inUse ? FLAG_IN_USE : 0) | (entry.auto ? FLAG_AUTO : 0),
        type: DIRTY_TRACKING_BITMAP,
        granularityBits: entry.granularityBits,
        nameSize: entry.nameBytes.length,
        extraDataSize: 0,
      },
      at,
    );
    bytes.set(entry.nameBytes, at + entryStruct.sizeBytes);
    at += entryBytes(entry.nameBytes.length, 0);
  }
  return bytes;
}

function decodeName(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`,
    ).join('');
  }
}
