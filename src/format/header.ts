/**
 * The image header ("Header" in the specification) and the geometry that follows from it.
 */
import { divideUp } from '../bytes/align.ts';
import { OffsetTooLargeError, struct } from '../bytes/struct.ts';
import { type HostOffset, hostOffset } from './addresses.ts';
import { INCOMPATIBLE } from './features.ts';
import { FormatError, hex } from './format-error.ts';

export const MAGIC = 0x514649fb;
const V2_HEADER_BYTES = 72;
const V3_HEADER_BYTES = 104;

export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;
export const MAX_REFCOUNT_ORDER = 6;
/** Version 2 has no field for it. */
export const V2_REFCOUNT_ORDER = 4;
/** QEMU's QCOW_MAX_L1_SIZE. */
export const MAX_L1_TABLE_BYTES = 32 * 1024 * 1024;
/** QEMU's QCOW_MAX_REFTABLE_SIZE. */
export const MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024;
/** QEMU's QCOW_MAX_SNAPSHOTS. */
const MAX_SNAPSHOTS = 65536;
export const MAX_BACKING_NAME_BYTES = 1023;

export const L1_ENTRY_BYTES = 8;
const SUBCLUSTERS_PER_CLUSTER = 32;

const v2Fields = {
  magic: [0, 'u32'],
  version: [4, 'u32'],
  backingFileOffset: [8, 'offset'],
  backingFileSize: [16, 'u32'],
  clusterBits: [20, 'u32'],
  size: [24, 'offset'],
  cryptMethod: [32, 'u32'],
  l1Size: [36, 'u32'],
  l1TableOffset: [40, 'offset'],
  refcountTableOffset: [48, 'offset'],
  refcountTableClusters: [56, 'u32'],
  nbSnapshots: [60, 'u32'],
  snapshotsOffset: [64, 'offset'],
} as const;

const identification = struct({ magic: v2Fields.magic, version: v2Fields.version });

const v2Header = struct(v2Fields);

/** The values of the version 3 fields for a version 2 header. */
const V2_DEFAULTS = {
  version: 2,
  incompatibleFeatures: 0n,
  compatibleFeatures: 0n,
  autoclearFeatures: 0n,
  refcountOrder: V2_REFCOUNT_ORDER,
  headerLength: V2_HEADER_BYTES,
} as const;

/** The header as a version 3 image stores it. */
export const headerStruct = struct({
  ...v2Fields,
  incompatibleFeatures: [72, 'u64'],
  compatibleFeatures: [80, 'u64'],
  autoclearFeatures: [88, 'u64'],
  refcountOrder: [96, 'u32'],
  headerLength: [100, 'u32'],
});

const COMPRESSION_TYPE_BYTE = V3_HEADER_BYTES;
const COMPRESSION_NAMES = ['zlib', 'zstd'] as const;

type CryptMethod = 'none' | 'aes' | 'luks';
const CRYPT_METHODS: readonly CryptMethod[] = ['none', 'aes', 'luks'];

export interface Header {
  readonly version: 2 | 3;
  readonly headerLengthBytes: number;
  readonly virtualSizeBytes: number;
  readonly clusterBits: number;
  readonly clusterSizeBytes: number;
  readonly cryptMethod: CryptMethod;
  readonly compressionType: 'zlib' | 'zstd';
  /** 0 when the image has no backing file. */
  readonly backingFileOffset: number;
  readonly backingFileSizeBytes: number;
  readonly l1EntryCount: number;
  readonly l1TableOffset: HostOffset;
  readonly refcountTableOffset: HostOffset;
  readonly refcountTableClusters: number;
  readonly refcountOrder: number;
  readonly snapshotCount: number;
  readonly snapshotsOffset: HostOffset;
  readonly incompatibleFeatures: bigint;
  readonly compatibleFeatures: bigint;
  readonly autoclearFeatures: bigint;
  readonly hasExtendedL2: boolean;
  readonly hasDataFile: boolean;
}

/**
 * Parses and checks a header. It does not check unknown incompatible bits, because their names are in an
 * extension.
 *
 * @param bytes the start of the image, at least V3_HEADER_BYTES + 8 bytes (zeros past the end of the file)
 * @throws FormatError when a field breaks the specification or one of QEMU's limits
 */
export function parseHeader(bytes: Uint8Array): Header {
  const raw = readRaw(bytes);
  const { version, clusterBits, headerLength: headerLengthBytes } = raw;
  requireRange('cluster_bits', clusterBits, MIN_CLUSTER_BITS, MAX_CLUSTER_BITS);
  const clusterSizeBytes = 2 ** clusterBits;
  if (version === 3) requireRange('header_length', headerLengthBytes, V3_HEADER_BYTES, clusterSizeBytes);
  if (headerLengthBytes % 8 !== 0) {
    throw new FormatError(`header: header_length is ${headerLengthBytes}, must be a multiple of 8`);
  }
  requireRange('refcount_order', raw.refcountOrder, 0, MAX_REFCOUNT_ORDER);

  const cryptMethod = CRYPT_METHODS[raw.cryptMethod];
  if (cryptMethod === undefined) {
    throw new FormatError(
      `header: crypt_method is ${raw.cryptMethod}, must be 0 (none), 1 (AES) or 2 (LUKS)`,
      {
        code: 'UNSUPPORTED',
      },
    );
  }
  const hasExtendedL2 = (raw.incompatibleFeatures & INCOMPATIBLE.extendedL2) !== 0n;
  if (hasExtendedL2 && clusterBits < 14) {
    throw new FormatError(`header: cluster_bits is ${clusterBits}, must be 14…21 with extended L2 entries`);
  }
  const header: Header = {
    version,
    headerLengthBytes,
    // QEMU counts whole sectors.
    virtualSizeBytes: raw.size - (raw.size % 512),
    clusterBits,
    clusterSizeBytes,
    cryptMethod,
    compressionType: compressionType(bytes, headerLengthBytes, raw.incompatibleFeatures),
    backingFileOffset: raw.backingFileOffset,
    backingFileSizeBytes: raw.backingFileOffset === 0 ? 0 : raw.backingFileSize,
    l1EntryCount: raw.l1Size,
    l1TableOffset: hostOffset(raw.l1TableOffset),
    refcountTableOffset: hostOffset(raw.refcountTableOffset),
    refcountTableClusters: raw.refcountTableClusters,
    refcountOrder: raw.refcountOrder,
    snapshotCount: raw.nbSnapshots,
    snapshotsOffset: hostOffset(raw.snapshotsOffset),
    incompatibleFeatures: raw.incompatibleFeatures,
    compatibleFeatures: raw.compatibleFeatures,
    autoclearFeatures: raw.autoclearFeatures,
    hasExtendedL2,
    hasDataFile: (raw.incompatibleFeatures & INCOMPATIBLE.dataFile) !== 0n,
  };
  checkTables(header);
  checkBackingName(header);
  return header;
}

function readRaw(bytes: Uint8Array) {
  const { magic, version } = identification.read(bytes);
  if (magic !== MAGIC) throw new FormatError('not a qcow2 image (the magic bytes "QFI\\xfb" are missing)');
  if (version !== 2 && version !== 3) {
    throw new FormatError(`header: version is ${version}, must be 2 or 3`, { code: 'UNSUPPORTED' });
  }
  try {
    if (version === 3) return { ...headerStruct.read(bytes), version: 3 as const };
    return { ...v2Header.read(bytes), ...V2_DEFAULTS };
  } catch (error) {
    if (!(error instanceof OffsetTooLargeError)) throw error;
    throw new FormatError(`header: ${error.message}`, { code: 'UNSUPPORTED' });
  }
}

function requireRange(field: string, value: number, least: number, most: number): void {
  if (value < least || value > most) {
    throw new FormatError(`header: ${field} is ${value}, must be ${least}…${most}`);
  }
}

function compressionType(
  bytes: Uint8Array,
  headerLengthBytes: number,
  incompatible: bigint,
): 'zlib' | 'zstd' {
  const stored = headerLengthBytes > COMPRESSION_TYPE_BYTE ? bytes[COMPRESSION_TYPE_BYTE]! : 0;
  const name = COMPRESSION_NAMES[stored];
  if (name === undefined) {
    throw new FormatError(`header: compression_type is ${stored}, must be 0 (zlib) or 1 (zstd)`, {
      code: 'UNSUPPORTED',
    });
  }
  const bit = (incompatible & INCOMPATIBLE.compression) !== 0n;
  if (bit !== (name !== 'zlib')) {
    throw new FormatError(
      `header: compression_type is ${name} but the "compression type" bit is ${bit ? 'set' : 'clear'}`,
    );
  }
  return name;
}

function checkTables(header: Header): void {
  checkTable(
    header,
    'l1_table',
    header.l1TableOffset,
    header.l1EntryCount * L1_ENTRY_BYTES,
    MAX_L1_TABLE_BYTES,
  );
  checkTable(
    header,
    'refcount_table',
    header.refcountTableOffset,
    header.refcountTableClusters * header.clusterSizeBytes,
    MAX_REFCOUNT_TABLE_BYTES,
  );
  if (header.refcountTableClusters === 0) {
    throw new FormatError('header: refcount_table_clusters is 0, must be at least 1');
  }
  if (header.snapshotCount > MAX_SNAPSHOTS) {
    throw new FormatError(
      `header: nb_snapshots is ${header.snapshotCount}, must be at most ${MAX_SNAPSHOTS}`,
    );
  }
  checkAligned(header, 'snapshots', header.snapshotsOffset);

  const needed = divideUp(header.virtualSizeBytes, guestBytesPerL2Table(header));
  if (header.l1EntryCount < needed) {
    throw new FormatError(
      `header: l1_size is ${header.l1EntryCount}, must be at least ${needed} for a disk of ${header.virtualSizeBytes} bytes`,
    );
  }
}

function checkTable(header: Header, name: string, offset: number, sizeBytes: number, most: number): void {
  if (sizeBytes > most) {
    throw new FormatError(`header: ${name} has ${sizeBytes} bytes, must be at most ${most}`);
  }
  checkAligned(header, name, offset);
}

function checkAligned(header: Header, name: string, offset: number): void {
  if (offset % header.clusterSizeBytes !== 0) {
    throw new FormatError(`header: ${name}_offset is ${hex(offset)}, must be a multiple of the cluster size`);
  }
}

function checkBackingName({ backingFileOffset, backingFileSizeBytes, clusterSizeBytes }: Header): void {
  if (backingFileOffset > clusterSizeBytes) {
    throw new FormatError(
      `header: backing_file_offset is ${hex(backingFileOffset)}, must be inside the first cluster`,
    );
  }
  const most = Math.min(MAX_BACKING_NAME_BYTES, clusterSizeBytes - backingFileOffset);
  if (backingFileOffset !== 0 && backingFileSizeBytes > most) {
    throw new FormatError(`header: backing_file_size is ${backingFileSizeBytes}, must be at most ${most}`);
  }
}

export function l2EntryBytes({ hasExtendedL2 }: Header): number {
  return hasExtendedL2 ? 16 : 8;
}

/** Entries in an L2 table, which fills one cluster. */
export function l2EntriesPerTable(header: Header): number {
  return header.clusterSizeBytes / l2EntryBytes(header);
}

/** Bytes of the disk that one L2 table, and so one L1 entry, maps. */
export function guestBytesPerL2Table(header: Header): number {
  return l2EntriesPerTable(header) * header.clusterSizeBytes;
}

/** Units of allocation per cluster: 1, or 32 with extended L2 entries. */
export function subclustersPerCluster({ hasExtendedL2 }: Header): number {
  return hasExtendedL2 ? SUBCLUSTERS_PER_CLUSTER : 1;
}

export function subclusterSizeBytes(header: Header): number {
  return header.clusterSizeBytes / subclustersPerCluster(header);
}
