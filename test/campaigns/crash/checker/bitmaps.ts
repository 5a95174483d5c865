/** Reads the bitmaps of an image as QEMU loads them when it opens one. */
import { big64, hex, u8, u16, u32, u64 } from './bytes.ts';
import type { BitmapDirectoryPlace, ImageHeader } from './header.ts';
import type { References } from './references.ts';
import { requireOpenable } from './unopenable.ts';

const mostTableBytes = 512 << 20;
const entryBytes = 24;
const reservedTableBits = 0xff000000_000001fen;

export interface StoredBitmap {
  name: string;
  granularity: number;
  /** In the words of `qemu-img info`. */
  flags: ('in-use' | 'auto')[];
  /** Granule n is bit n % 8 of byte n / 8; undefined for a bitmap that is marked in-use, which must not be read. */
  bits: Buffer | undefined;
}

interface DirectoryEntry {
  name: string;
  flags: number;
  granularityBits: number;
  tableOffset: number;
  tableEntryCount: number;
}

/** In the order of the directory. */
export function readBitmaps(image: Uint8Array, header: ImageHeader, references: References): StoredBitmap[] {
  if (header.bitmaps === undefined) return [];
  references.add('bitmap directory', header.bitmaps.offset, header.bitmaps.sizeBytes);
  const names = new Set<string>();
  return readDirectory(image, header, header.bitmaps).map((entry) => {
    const { name, flags, granularityBits, tableOffset, tableEntryCount } = entry;
    references.add('bitmap table', tableOffset, tableEntryCount * 8);
    const isInUse = (flags & 1) !== 0;
    if (!isInUse) {
      requireOpenable(!names.has(name), `two bitmaps "${name}"`);
      names.add(name);
    }
    const bits = readBits(image, header, entry, isInUse, references);
    return {
      name,
      granularity: 2 ** granularityBits,
      flags: [...(isInUse ? ['in-use' as const] : []), ...((flags & 2) !== 0 ? ['auto' as const] : [])],
      bits: isInUse ? undefined : bits,
    };
  });
}

function readDirectory(
  image: Uint8Array,
  { clusterBytes }: ImageHeader,
  { count, offset, sizeBytes }: BitmapDirectoryPlace,
): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const end = offset + sizeBytes;
  for (let at = offset; at < end; ) {
    const where = `bitmap directory entry at ${hex(at)}`;
    requireOpenable(at + entryBytes <= end, `${where} does not fit`);
    const [tableOffset, tableEntryCount, flags] = [u64(image, at), u32(image, at + 8), u32(image, at + 12)];
    const [type, granularityBits] = [u8(image, at + 16), u8(image, at + 17)];
    const [nameBytes, extraBytes] = [u16(image, at + 18), u32(image, at + 20)];
    requireOpenable(extraBytes === 0, `${where}: extra data`);
    requireOpenable((flags & ~3) === 0, `${where}: flags ${hex(flags)}`);
    requireOpenable(type === 1, `${where}: type ${type}`);
    requireOpenable(
      granularityBits >= 9 && granularityBits <= 31,
      `${where}: granularity ${granularityBits}`,
    );
    requireOpenable(nameBytes > 0 && nameBytes <= 1023, `${where}: name of ${nameBytes} bytes`);
    requireOpenable(tableEntryCount > 0, `${where}: empty table`);
    requireOpenable(tableEntryCount * clusterBytes <= mostTableBytes, `${where}: bitmap too large`);
    requireOpenable(tableOffset > 0 && tableOffset % clusterBytes === 0, `${where}: table at ${tableOffset}`);
    const name = Buffer.from(image.subarray(at + entryBytes, at + entryBytes + nameBytes)).toString();
    entries.push({ name, flags, granularityBits, tableOffset, tableEntryCount });
    at += Math.ceil((entryBytes + nameBytes) / 8) * 8;
    requireOpenable(at <= end, `${where} does not fit`);
  }
  requireOpenable(entries.length === count, `${entries.length} bitmaps in a directory of ${count}`);
  return entries;
}

function readBits(
  image: Uint8Array,
  { virtualSizeBytes, clusterBytes }: ImageHeader,
  { name, granularityBits, tableOffset, tableEntryCount }: DirectoryEntry,
  isInUse: boolean,
  references: References,
): Buffer {
  const granules = Math.ceil(virtualSizeBytes / 2 ** granularityBits);
  const bytes = Math.ceil(granules / 8);
  const needed = Math.ceil(bytes / clusterBytes);
  requireOpenable(
    isInUse || tableEntryCount === needed,
    `bitmap "${name}": ${tableEntryCount} entries, not ${needed}`,
  );
  const bits = Buffer.alloc(tableEntryCount * clusterBytes);
  for (let index = 0; index < tableEntryCount; index++) {
    const entry = big64(image, tableOffset + index * 8);
    const offset = Number(entry & ~reservedTableBits & ~1n);
    const isSane =
      (entry & reservedTableBits) === 0n &&
      offset % clusterBytes === 0 &&
      (offset === 0 || (entry & 1n) === 0n);
    requireOpenable(isInUse || isSane, `bitmap "${name}": table entry ${index} is ${hex(entry)}`);
    if (!isSane) continue;
    const part = bits.subarray(index * clusterBytes, (index + 1) * clusterBytes);
    if ((entry & 1n) === 1n) part.fill(0xff);
    if (offset === 0) continue;
    references.add('bitmap data', offset, clusterBytes);
    part.set(image.subarray(offset, offset + clusterBytes));
  }
  if (granules % 8 !== 0) bits[bytes - 1]! &= 0xff >> (8 - (granules % 8));
  return bits.subarray(0, bytes);
}
