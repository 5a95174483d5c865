/** Reads a header and its extensions by the rules for which QEMU refuses to open an image. */
import { big64, hex, isBitSet, u32, u64 } from './bytes.ts';
import { requireOpenable, Unopenable } from './unopenable.ts';

const extensionType = {
  end: 0,
  backingFormat: 0xe2792aca,
  bitmaps: 0x23852875,
  encryption: 0x0537be77,
  dataFile: 0x44415441,
} as const;
const incompatible = { corrupt: 1, dataFile: 2, extendedL2: 4, known: 5 } as const;
const autoclear = { bitmaps: 0 } as const;
const most = { l1Bytes: 32 << 20, refcountTableBytes: 8 << 20, bitmaps: 65535, directoryBytes: 67_107_840 };

export interface BitmapDirectoryPlace {
  count: number;
  offset: number;
  sizeBytes: number;
}

export interface ImageHeader {
  virtualSizeBytes: number;
  clusterBits: number;
  clusterBytes: number;
  l1: { offset: number; entryCount: number };
  refcountTable: { offset: number; clusterCount: number };
  refcountBits: number;
  snapshots: { count: number; offset: number };
  l2EntryBytes: 8 | 16;
  hasDataFile: boolean;
  /** Name and format as stored; they are part of what a guest sees. */
  backing: { name: string; format: string } | undefined;
  dataFileName: string;
  encryption: { offset: number; sizeBytes: number } | undefined;
  /** Where the live bitmaps are; undefined where QEMU sees none. */
  bitmaps: BitmapDirectoryPlace | undefined;
  /** Whether QEMU ignores an extension because autoclear bit 0 is clear. */
  hasIgnoredBitmaps: boolean;
  /** All other extensions without the end marker, as text for comparison. */
  otherExtensions: string[];
}

export function readHeader(image: Uint8Array): ImageHeader {
  requireOpenable(u32(image, 0) === 0x514649fb, 'no magic bytes');
  requireOpenable(u32(image, 4) === 3, 'not version 3, and nothing here makes another');
  const clusterBits = u32(image, 20);
  requireOpenable(clusterBits >= 9 && clusterBits <= 21, `cluster_bits is ${clusterBits}`);
  const clusterBytes = 2 ** clusterBits;
  const headerBytes = u32(image, 100);
  requireOpenable(headerBytes >= 104 && headerBytes <= clusterBytes, `header_length is ${headerBytes}`);
  const features = big64(image, 72);
  requireOpenable(features >> BigInt(incompatible.known) === 0n, `incompatible features ${hex(features)}`);
  requireOpenable(!isBitSet(features, incompatible.corrupt), 'marked corrupt');
  const refcountOrder = u32(image, 96);
  requireOpenable(refcountOrder <= 6, `refcount_order is ${refcountOrder}`);

  const l1 = { offset: u64(image, 40), entryCount: u32(image, 36) };
  requireTable('L1 table', l1.offset, l1.entryCount * 8, most.l1Bytes, clusterBytes);
  const refcountTable = { offset: u64(image, 48), clusterCount: u32(image, 56) };
  requireOpenable(refcountTable.clusterCount > 0, 'refcount_table_clusters is 0');
  const tableBytes = refcountTable.clusterCount * clusterBytes;
  requireTable('refcount table', refcountTable.offset, tableBytes, most.refcountTableBytes, clusterBytes);
  const l2EntryBytes = isBitSet(features, incompatible.extendedL2) ? 16 : 8;
  const virtualSizeBytes = u64(image, 24);
  const l1Needed = Math.ceil(virtualSizeBytes / (clusterBytes * (clusterBytes / l2EntryBytes)));
  requireOpenable(l1.entryCount >= l1Needed, 'L1 table too small');

  const nameOffset = u64(image, 8);
  const nameBytes = u32(image, 16);
  requireOpenable(nameOffset <= clusterBytes, 'backing_file_offset beyond the first cluster');
  if (nameOffset !== 0) {
    requireOpenable(
      nameBytes <= Math.min(1023, clusterBytes - nameOffset),
      'backing file name too long for its place',
    );
  }
  const areaEnd = nameOffset === 0 ? clusterBytes : nameOffset;
  const bitmapsAreLive = isBitSet(big64(image, 88), autoclear.bitmaps);
  const extensions = readExtensions(image, headerBytes, areaEnd, clusterBytes, bitmapsAreLive);
  const name = text(image.subarray(nameOffset, nameOffset + nameBytes));
  return {
    virtualSizeBytes,
    clusterBits,
    clusterBytes,
    l1,
    refcountTable,
    refcountBits: 2 ** refcountOrder,
    snapshots: { count: u32(image, 60), offset: u64(image, 64) },
    l2EntryBytes,
    hasDataFile: isBitSet(features, incompatible.dataFile),
    backing: nameOffset === 0 ? undefined : { name, format: extensions.backingFormat },
    dataFileName: extensions.dataFileName,
    encryption: extensions.encryption,
    bitmaps: extensions.bitmaps,
    hasIgnoredBitmaps: extensions.hasIgnoredBitmaps,
    otherExtensions: extensions.others,
  };
}

function requireTable(
  what: string,
  offset: number,
  sizeBytes: number,
  mostBytes: number,
  clusterBytes: number,
): void {
  requireOpenable(sizeBytes <= mostBytes, `${what} of ${sizeBytes} bytes`);
  requireOpenable(offset % clusterBytes === 0, `${what} at ${hex(offset)}`);
}

function readExtensions(
  image: Uint8Array,
  start: number,
  areaEnd: number,
  clusterBytes: number,
  bitmapsAreLive: boolean,
) {
  const found = {
    backingFormat: '',
    dataFileName: '',
    encryption: undefined as ImageHeader['encryption'],
    bitmaps: undefined as BitmapDirectoryPlace | undefined,
    hasIgnoredBitmaps: false,
    others: [] as string[],
  };
  for (let at = start; at < areaEnd; ) {
    const type = u32(image, at);
    const length = u32(image, at + 4);
    const dataAt = at + 8;
    if (dataAt > areaEnd || length > areaEnd - dataAt) {
      throw new Unopenable(`header extension ${hex(type)} at ${at} too large`);
    }
    if (type === extensionType.end) break;
    const data = image.subarray(dataAt, dataAt + length);
    if (type !== extensionType.bitmaps)
      found.others.push(`${hex(type)}:${Buffer.from(data).toString('hex')}`);
    switch (type) {
      case extensionType.backingFormat:
        requireOpenable(length < 16, 'backing format too long');
        found.backingFormat = text(data);
        break;
      case extensionType.dataFile:
        found.dataFileName = text(data);
        break;
      case extensionType.encryption:
        requireOpenable(length === 16, 'encryption header extension of the wrong length');
        found.encryption = { offset: u64(image, dataAt), sizeBytes: u64(image, dataAt + 8) };
        break;
      case extensionType.bitmaps:
        requireOpenable(length === 24, `bitmaps extension of ${length} bytes`);
        // Each one is looked at, and the last one counts.
        if (bitmapsAreLive) found.bitmaps = readBitmapsPayload(image, dataAt, clusterBytes);
        else found.hasIgnoredBitmaps = true;
        break;
    }
    at = dataAt + Math.ceil(length / 8) * 8;
  }
  return found;
}

function readBitmapsPayload(image: Uint8Array, at: number, clusterBytes: number): BitmapDirectoryPlace {
  const place = { count: u32(image, at), sizeBytes: u64(image, at + 8), offset: u64(image, at + 16) };
  requireOpenable(place.count > 0, 'found bitmaps extension with zero bitmaps');
  requireOpenable(place.count <= most.bitmaps, `${place.count} bitmaps`);
  requireOpenable(u32(image, at + 4) === 0, 'reserved field of the bitmaps extension not zero');
  requireOpenable(
    place.offset > 0 && place.offset % clusterBytes === 0,
    `bitmap directory at ${hex(place.offset)}`,
  );
  requireOpenable(
    place.sizeBytes > 0 && place.sizeBytes <= most.directoryBytes,
    `bitmap directory of ${place.sizeBytes} bytes`,
  );
  return place;
}

/** Up to the first zero byte, as a C string ends there. */
function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1').split('\0', 1)[0]!;
}
