/**
 * The entries of the bitmap directory ("Bitmap directory" in the specification).
 */
import { alignUp, divideUp } from '../bytes/align.ts';
import { cStringBytes } from '../bytes/c-string.ts';
import { struct } from '../bytes/struct.ts';
import { type HostOffset, hostOffset } from './addresses.ts';
import type { Header } from './header.ts';

export const entryStruct = struct({
  bitmapTableOffset: [0, 'u64'],
  bitmapTableSize: [8, 'u32'],
  flags: [12, 'u32'],
  type: [16, 'u8'],
  granularityBits: [17, 'u8'],
  nameSize: [18, 'u16'],
  extraDataSize: [20, 'u32'],
});

export const FLAG_IN_USE = 1 << 0;
export const FLAG_AUTO = 1 << 1;
export const DIRTY_TRACKING_BITMAP = 1;

export const MIN_GRANULARITY_BITS = 9;
export const MAX_GRANULARITY_BITS = 31;
export const MAX_BITMAP_NAME_BYTES = 1023;
/** An entry with the longest name, padding included. */
export const MAX_ENTRY_BYTES = alignUp(entryStruct.sizeBytes + MAX_BITMAP_NAME_BYTES, 8);
/**
 * Replaces every larger table offset. QEMU treats those like any other offset beyond the end of the file. It
 * is a multiple of every cluster size.
 */
const BEYOND_ANY_FILE = 2n ** 52n;
/**
 * QEMU's BME_MAX_PHYS_SIZE, the limit for the data of one bitmap. No table reaches QEMU's BME_MAX_TABLE_SIZE
 * before this limit.
 */
export const MAX_BITMAP_BYTES = 512 * 1024 * 1024;

export interface BitmapDirectoryEntry {
  /** The stored name up to a zero byte. QEMU uses these bytes as the name and stores them again. */
  readonly nameBytes: Uint8Array;
  /** The name as text. Bytes that are not UTF-8 appear as \xNN. */
  readonly name: string;
  readonly granularityBits: number;
  /** The bitmap records writes whenever QEMU has the image open ("auto"). libvirt calls it enabled. */
  readonly auto: boolean;
  /**
   * The bitmap was not stored after its last use. This is normal under a running guest. Otherwise its content
   * is worthless.
   */
  readonly inUse: boolean;
  readonly tableOffset: HostOffset;
  readonly tableEntryCount: number;
}

/** Number of entries in the table of a bitmap over `virtualSizeBytes`: one for each cluster of its data. */
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

export function isGranularity(bits: number): boolean {
  return bits >= MIN_GRANULARITY_BITS && bits <= MAX_GRANULARITY_BITS;
}

export interface StoredEntry {
  readonly entry: BitmapDirectoryEntry;
  readonly raw: ReturnType<typeof entryStruct.read>;
  /** The offset of the next entry in the directory. */
  readonly end: number;
}

/** Undefined if the entry does not end within `bytes`. */
export function readStoredEntry(bytes: Uint8Array, at: number): StoredEntry | undefined {
  const nameOffset = at + entryStruct.sizeBytes;
  if (nameOffset > bytes.length) return undefined;
  const raw = entryStruct.read(bytes, at);
  const end = at + entryBytes(raw.nameSize, raw.extraDataSize);
  if (end > bytes.length) return undefined;
  const nameStart = nameOffset + raw.extraDataSize;
  const nameBytes = cStringBytes(bytes.slice(nameStart, nameStart + raw.nameSize));
  const entry: BitmapDirectoryEntry = {
    nameBytes,
    name: decodeName(nameBytes),
    granularityBits: raw.granularityBits,
    auto: (raw.flags & FLAG_AUTO) !== 0,
    inUse: (raw.flags & FLAG_IN_USE) !== 0,
    tableOffset: hostOffset(
      Number(raw.bitmapTableOffset < BEYOND_ANY_FILE ? raw.bitmapTableOffset : BEYOND_ANY_FILE),
    ),
    tableEntryCount: raw.bitmapTableSize,
  };
  return { entry, raw, end };
}

function entryBytes(nameSize: number, extraDataSize: number): number {
  return alignUp(entryStruct.sizeBytes + nameSize + extraDataSize, 8);
}

/** The stored name as a key with one character per byte. Different names have different keys. */
export function storedName({ nameBytes }: Pick<BitmapDirectoryEntry, 'nameBytes'>): string {
  return String.fromCharCode(...nameBytes);
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
        bitmapTableOffset: BigInt(entry.tableOffset),
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

/** Bytes that are not UTF-8 appear as \xNN. */
export function decodeName(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`,
    ).join('');
  }
}
