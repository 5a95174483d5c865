/**
 * One open qcow2 image: its header with extensions, and bounds-checked reads of its tables.
 */
import { divideUp } from '../bytes/align.ts';
import type { Brand } from '../bytes/brand.ts';
import { cString } from '../bytes/c-string.ts';
import { RefusedError } from '../errors.ts';
import type { HostOffset, HostRange } from '../format/addresses.ts';
import {
  type BitmapsState,
  bitmapsState,
  parseExtensionsLeniently,
  requireSoundBitmaps,
} from '../format/bitmaps-extension.ts';
import { AUTOCLEAR, INCOMPATIBLE, refuseUnknownIncompatible } from '../format/features.ts';
import { FormatError, hex } from '../format/format-error.ts';
import { type Header, L1_ENTRY_BYTES, MIN_CLUSTER_BITS, parseHeader } from '../format/header.ts';
import {
  backingFormat,
  EXTENSION_TYPE,
  findExtension,
  type HeaderExtensions,
} from '../format/header-extensions.ts';
import { decodeL1Table } from '../format/l1-table.ts';
import { visitOffsets } from '../format/table-entries.ts';
import { readStructure, type Storage } from '../storage/storage.ts';

interface BackingReference {
  /** As stored: a path, relative to this image's folder, or another of QEMU's forms. */
  readonly name: string;
  /** As stored, for example "qcow2" or "raw". Undefined if the image has none, so that it is probed. */
  readonly format: string | undefined;
}

/** The first cluster holds the header. */
const LEAST_IMAGE_BYTES = 2 ** MIN_CLUSTER_BITS;

export interface Image {
  readonly storage: Storage;
  readonly header: Header;
  /** The first cluster as stored. */
  readonly headerCluster: Uint8Array;
  readonly extensions: HeaderExtensions;
  readonly bitmaps: BitmapsState;
  readonly backing: BackingReference | undefined;
}

/**
 * `lenient` also opens an image that QEMU refuses because of its bitmaps extension, for examination and
 * repair.
 */
export type BitmapsOpening = 'strict' | 'lenient';

/**
 * Reads and checks the header of a qcow2 image. The caller keeps ownership of `storage`.
 *
 * @throws RefusedError when the image breaks the specification, or needs a feature unknown to this tool
 */
export async function openImage(storage: Storage, opening: BitmapsOpening = 'strict'): Promise<Image> {
  if (storage.sizeBytes < LEAST_IMAGE_BYTES) {
    throw new RefusedError(
      'INVALID_IMAGE',
      `${storage.name}: the file has ${storage.sizeBytes} bytes, too few for a qcow2 header`,
      { remedy: { kind: 'restore-copy' }, context: { file: storage.name } },
    );
  }
  const headerBytes = await readStructure(storage, 0, LEAST_IMAGE_BYTES);
  const header = naming(storage, () => parseHeader(headerBytes));
  const headerCluster = await readStructure(storage, 0, header.clusterSizeBytes);
  return naming(storage, () => {
    const extensions = parseExtensionsLeniently(headerCluster, header);
    const bitmaps = bitmapsState(extensions, header);
    const featureNames = findExtension(extensions, EXTENSION_TYPE.featureNames)?.data ?? new Uint8Array(0);
    refuseUnknownIncompatible(header.incompatibleFeatures, featureNames);
    return {
      storage,
      header,
      headerCluster,
      extensions,
      bitmaps: opening === 'strict' ? requireSoundBitmaps(bitmaps) : bitmaps,
      backing: backingReference(header, headerCluster, extensions),
    };
  });
}

function backingReference(
  { backingFileOffset, backingFileSizeBytes }: Header,
  headerCluster: Uint8Array,
  extensions: HeaderExtensions,
): BackingReference | undefined {
  const bytes = headerCluster.subarray(backingFileOffset, backingFileOffset + backingFileSizeBytes);
  const name = cString(bytes);
  return name === '' ? undefined : { name, format: backingFormat(extensions) };
}

/**
 * Runs code without knowledge of the file, and puts the file's name before the message of its FormatError.
 */
export function naming<T>({ name }: Pick<Storage, 'name'>, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new RefusedError(error.code, `${name}: ${error.message}`, {
      remedy: error.remedy?.(name),
      context: { file: name },
    });
  }
}

/**
 * Reads a structure that must lie completely inside the file.
 *
 * @param what the name of the structure in the message
 */
export async function readInside(
  { storage }: Image,
  what: string,
  offset: HostOffset,
  lengthBytes: number,
): Promise<Uint8Array> {
  requireInside(storage, () => what, { offset, length: lengthBytes });
  return readStructure(storage, offset, lengthBytes);
}

/** @throws RefusedError when the range reaches beyond the end of the file */
export function requireInside(
  { name, sizeBytes }: Storage,
  what: () => string,
  { offset, length }: HostRange,
): void {
  if (offset + length <= sizeBytes) return;
  throw new RefusedError(
    'INVALID_IMAGE',
    `${name}: ${what()} at ${hex(offset)} (${length} bytes) reaches beyond the end of the file at ${hex(sizeBytes)}`,
    {
      remedy: { kind: 'restore-copy-or-check', file: name },
      context: { file: name },
    },
  );
}

/**
 * Refuses structures that cannot all have clusters of their own. Without this rule, a small file could name
 * one table a million times. Reading it would take hours.
 *
 * @throws RefusedError when the file has fewer clusters
 */
export function requireOwnClusters({ storage, header }: Image, what: string, count: number): void {
  const { name, sizeBytes } = storage;
  const clusterCount = divideUp(sizeBytes, header.clusterSizeBytes);
  if (count <= clusterCount) return;
  throw new RefusedError(
    'INVALID_IMAGE',
    `${name}: ${what} take ${count} clusters, the file has ${clusterCount}: some are named more than once`,
    { remedy: { kind: 'check', file: name }, context: { file: name } },
  );
}

/** All L2 tables that the active L1 table names. They map the current disk. */
export type ActiveTables = Brand<
  {
    readonly image: Image;
    /** Offset of each L2 table in bytes by L1 index; 0 where there is none. */
    readonly l2Offsets: Float64Array;
  },
  'active L2 tables'
>;

/** @throws RefusedError when the active L1 table cannot be read, or breaks the specification */
export async function readActiveTables(image: Image): Promise<ActiveTables> {
  const { l1TableOffset, l1EntryCount } = image.header;
  const l2Offsets = await readL1Table(image, 'the active L1 table', l1TableOffset, l1EntryCount);
  return { image, l2Offsets } as ActiveTables;
}

/** Offsets of the L2 tables that an L1 table names, as in `ActiveTables`. */
export async function readL1Table(
  image: Image,
  what: string,
  offset: HostOffset,
  entryCount: number,
): Promise<Float64Array> {
  const bytes = await readInside(image, what, offset, entryCount * L1_ENTRY_BYTES);
  const l2Offsets = naming(image.storage, () => decodeL1Table(bytes, image.header, what));
  requireOwnClusters(image, `L2 tables that ${what} names`, l2TableCount(l2Offsets));
  return l2Offsets;
}

/** The number of L2 tables that an L1 table names, given its offsets. */
export function l2TableCount(l2Offsets: Float64Array): number {
  let count = 0;
  visitOffsets(l2Offsets, () => count++);
  return count;
}

/** True if there are bitmaps that QEMU ignores, because autoclear bit 0 is clear. */
export function hasIgnoredBitmaps({ header, bitmaps }: Pick<Image, 'header' | 'bitmaps'>): boolean {
  return bitmaps.kind !== 'none' && (header.autoclearFeatures & AUTOCLEAR.bitmaps) === 0n;
}

/** Fields for remedies that let QEMU write to the image. QEMU then drops outdated bitmaps. */
export function whatQemuWrites(image: Pick<Image, 'storage' | 'header' | 'bitmaps'>) {
  return { file: image.storage.name, dropsOutdated: hasIgnoredBitmaps(image) };
}

/**
 * @throws RefusedError when the image cannot hold bitmaps, or must not be written before `qemu-img check`
 * repairs it
 */
export function requireWritable(image: Image): void {
  const { storage, header } = image;
  const { name } = storage;
  const context = { file: name };
  const has = (bit: bigint) => (header.incompatibleFeatures & bit) !== 0n;
  if (has(INCOMPATIBLE.corrupt) || has(INCOMPATIBLE.dirty)) {
    const state = has(INCOMPATIBLE.corrupt)
      ? 'is marked corrupt'
      : 'is marked dirty: its refcounts are stale';
    throw new RefusedError('NEEDS_CHECK', `${name}: the image ${state}`, {
      remedy: { kind: 'check-and-repair', ...whatQemuWrites(image) },
      context,
    });
  }
  if (header.version === 2) {
    throw new RefusedError('UNSUPPORTED', `${name}: a version 2 image (compat 0.10) cannot hold bitmaps`, {
      remedy: { kind: 'upgrade-version', ...whatQemuWrites(image) },
      context,
    });
  }
}
