/**
 * Lists the stored bitmaps of an image, or of every image of its chain.
 */
import { dirtyBytes } from '../../bitmap/dirty-bitmap.ts';
import { dirtyShares } from '../../bitmap/dirty-shares.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import { alignUp } from '../../bytes/align.ts';
import { allLayers } from '../../chain/chain.ts';
import type { Layer } from '../../chain/layer.ts';
import { parseReference } from '../../chain/reference.ts';
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';
import type { Image } from '../../image/image.ts';
import { bitmapRanges, readBitmapDirectory, readBitmapTable } from '../../image/stored-bitmaps.ts';
import type { OperationOptions } from '../options.ts';
import { withChain } from '../with-chain.ts';

/** Sizes are in bytes; `name`, `granularity` and `flags` are as in `qemu-img info --output=json`. */
export interface ListedBitmap {
  readonly name: string;
  readonly granularity: number;
  readonly flags: readonly ('in-use' | 'auto')[];
  /**
   * Bytes of the disk that are marked; null while the bitmap is in use, since its content is not valid then.
   */
  readonly dirtyBytes: number | null;
  /** Bytes of the image that its table and its data occupy. */
  readonly diskBytes: number;
  /**
   * The dirty share of each of `dirtyShareParts` equal parts of the disk; only if requested, and not for a
   * bitmap in use.
   */
  readonly dirtyShares?: readonly number[];
  /** Only for a running QEMU. */
  readonly running?: {
    /** QEMU stores it in the image when it closes the image. */
    readonly persistent: boolean;
    /** A job or an export uses it. */
    readonly busy: boolean;
  };
}

export interface ListedImage {
  readonly image: string;
  readonly format: 'qcow2' | 'raw';
  readonly virtualSize: number;
  readonly bitmaps: readonly ListedBitmap[];
  /** Software without bitmap support changed the image, so QEMU ignores its bitmaps. */
  readonly stale: boolean;
}

export interface BitmapList extends ListedImage {
  /** With `chain`: every image, top first. */
  readonly layers?: readonly ListedImage[];
}

export interface ListOptions extends OperationOptions {
  readonly chain?: boolean | undefined;
  /** Number of parts of the disk in each bitmap's `dirtyShares`; without it they are left out. */
  readonly dirtyShareParts?: number | undefined;
}

export async function listBitmaps(imageName: string, options: ListOptions = {}): Promise<BitmapList> {
  return withChain(parseReference(imageName, undefined), options, async (chain) => {
    if (!options.chain) return listLayer(chain.top, options);
    const layers: ListedImage[] = [];
    for (const layer of await allLayers(chain)) layers.push(await listLayer(layer, options));
    return { ...layers[0]!, layers };
  });
}

export async function listLayer(layer: Layer, options: ListOptions): Promise<ListedImage> {
  const { path: image, format, virtualSizeBytes: virtualSize } = layer;
  if (layer.format === 'raw') return { image, format, virtualSize, bitmaps: [], stale: false };
  const entries = await readBitmapDirectory(layer.image);
  const bytesOf = ({ granularityBits }: BitmapDirectoryEntry) => virtualSize / 2 ** granularityBits / 8;
  const totalBytes = Math.ceil(entries.reduce((sum, entry) => sum + bytesOf(entry), 0));
  let doneBytes = 0;
  const bitmaps: ListedBitmap[] = [];
  for (const entry of entries) {
    options.signal?.throwIfAborted();
    bitmaps.push(await listEntry(layer.image, entry, options));
    doneBytes += bytesOf(entry);
    options.onProgress?.({ phase: 'reading bitmaps', image, doneBytes: Math.floor(doneBytes), totalBytes });
  }
  return { image, format, virtualSize, bitmaps, stale: layer.image.bitmaps.kind === 'stale' };
}

async function listEntry(
  image: Image,
  entry: BitmapDirectoryEntry,
  { dirtyShareParts }: ListOptions,
): Promise<ListedBitmap> {
  const table = await readBitmapTable(image, entry);
  const { clusterSizeBytes } = image.header;
  const bitmap = entry.inUse ? undefined : await readBitmap(image, entry, table);
  return {
    name: entry.name,
    granularity: 2 ** entry.granularityBits,
    flags: [...(entry.inUse ? (['in-use'] as const) : []), ...(entry.auto ? (['auto'] as const) : [])],
    dirtyBytes: bitmap === undefined ? null : dirtyBytes(bitmap),
    diskBytes: bitmapRanges(image, entry, table).reduce(
      (sum, { length }) => sum + alignUp(length, clusterSizeBytes),
      0,
    ),
    ...(dirtyShareParts === undefined || bitmap === undefined
      ? {}
      : { dirtyShares: dirtyShares(bitmap, dirtyShareParts) }),
  };
}
