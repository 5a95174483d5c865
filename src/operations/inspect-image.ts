/**
 * Shows the metadata of one qcow2 image as stored, even if it violates the specification.
 */
import { openLocked } from '../chain/locking.ts';
import { PROBE_BYTES, probeFormat } from '../chain/probe.ts';
import { parseReference } from '../chain/reference.ts';
import { RefusedError } from '../errors.ts';
import { MAX_BITMAP_DIRECTORY_BYTES } from '../format/bitmaps-extension.ts';
import {
  MAX_CLUSTER_BITS,
  MAX_REFCOUNT_ORDER,
  MAX_REFCOUNT_TABLE_BYTES,
  MIN_CLUSTER_BITS,
  V2_REFCOUNT_ORDER,
} from '../format/header.ts';
import { EXTENSION_TYPE } from '../format/header-extensions.ts';
import { readBytes, type Storage } from '../storage/storage.ts';
import { type StoredDirectory, storedDirectory } from '../stored-metadata/stored-directory.ts';
import {
  type StoredExtensions,
  type StoredFields,
  storedExtensions,
  storedHeader,
} from '../stored-metadata/stored-header.ts';
import { readStoredRefcounts, type StoredRefcounts } from '../stored-metadata/stored-refcounts.ts';
import { lockingOf, type OperationOptions } from './options.ts';

/** Parts of {@link StoredImage} in the order in which they are shown. */
export const IMAGE_PARTS = ['header', 'extensions', 'directory', 'refcounts'] as const;

export type ImagePart = (typeof IMAGE_PARTS)[number];

export interface InspectOptions extends OperationOptions {
  /** Default: all parts. */
  readonly parts?: readonly ImagePart[] | undefined;
}

/**
 * A part that was not requested is undefined. A part is null if it does not exist or the header has no valid
 * pointer to it.
 */
export interface StoredImage {
  readonly schema: 1;
  readonly image: string;
  readonly fileBytes: number;
  readonly header?: StoredFields;
  readonly extensions?: StoredExtensions;
  readonly directory?: StoredDirectory | null;
  readonly refcounts?: StoredRefcounts | null;
}

/** @throws RefusedError when it is not a qcow2 image */
export async function inspectImage(imageName: string, options: InspectOptions = {}): Promise<StoredImage> {
  const { path } = parseReference(imageName, undefined);
  const storage = await openLocked(path, 'read', lockingOf(options));
  try {
    return await inspectStorage(storage, options);
  } finally {
    await storage.close();
  }
}

async function inspectStorage(storage: Storage, options: InspectOptions): Promise<StoredImage> {
  const { name: image, sizeBytes: fileBytes } = storage;
  const format = probeFormat(await readBytes(storage, 0, PROBE_BYTES));
  if (format !== 'qcow2') {
    throw new RefusedError('UNSUPPORTED', `${image}: not a qcow2 image, but ${format}`, {
      context: { file: image, format },
    });
  }
  const wanted = new Set<ImagePart>(options.parts ?? IMAGE_PARTS);
  const probe = storedHeader(await readBytes(storage, 0, PROBE_BYTES));
  const clusterSizeBytes = clusterSizeOf(probe);
  const startBytes = Math.min(clusterSizeBytes ?? 2 ** MAX_CLUSTER_BITS, Math.max(fileBytes, PROBE_BYTES));
  const start = await readBytes(storage, 0, startBytes);
  const header = storedHeader(start);
  const extensions = storedExtensions(start, header);
  return {
    schema: 1,
    image,
    fileBytes,
    ...(wanted.has('header') && { header }),
    ...(wanted.has('extensions') && { extensions }),
    ...(wanted.has('directory') && { directory: await readDirectory(storage, extensions) }),
    ...(wanted.has('refcounts') && {
      refcounts: await readRefcounts(storage, header, clusterSizeBytes, options.signal),
    }),
  };
}

/** undefined if the header has no valid cluster size */
function clusterSizeOf(header: StoredFields): number | undefined {
  const bits = Number(header['cluster_bits']);
  return bits >= MIN_CLUSTER_BITS && bits <= MAX_CLUSTER_BITS ? 2 ** bits : undefined;
}

async function readDirectory(storage: Storage, { list }: StoredExtensions): Promise<StoredDirectory | null> {
  const extension = list.findLast(({ type }) => type === EXTENSION_TYPE.bitmaps);
  const { bitmap_directory_offset: offset, bitmap_directory_size: size } = extension?.fields ?? {};
  if (typeof offset !== 'number' || typeof size !== 'number') return null;
  if (offset >= storage.sizeBytes) return null;
  const lengthBytes = Math.min(size, MAX_BITMAP_DIRECTORY_BYTES, storage.sizeBytes - offset);
  return storedDirectory(await readBytes(storage, offset, lengthBytes), offset);
}

async function readRefcounts(
  storage: Storage,
  header: StoredFields,
  clusterSizeBytes: number | undefined,
  signal: AbortSignal | undefined,
): Promise<StoredRefcounts | null> {
  const tableOffset = header['refcount_table_offset'];
  const refcountOrder = Number(header['refcount_order'] ?? V2_REFCOUNT_ORDER);
  if (clusterSizeBytes === undefined || typeof tableOffset !== 'number') return null;
  if (refcountOrder > MAX_REFCOUNT_ORDER || tableOffset >= storage.sizeBytes) return null;
  const tableBytes = Math.min(
    Number(header['refcount_table_clusters']) * clusterSizeBytes,
    MAX_REFCOUNT_TABLE_BYTES,
    storage.sizeBytes - tableOffset,
  );
  return readStoredRefcounts(
    storage,
    { tableOffset, tableBytes: tableBytes - (tableBytes % 8), clusterSizeBytes, refcountOrder },
    signal,
  );
}
