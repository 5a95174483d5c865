/**
 * Lists the stored bitmaps of an image, or of every image of its chain.
 */
import { dirtyBytes } from '../bitmap/dirty-bitmap.ts';
import { readBitmap } from '../bitmap/read-bitmap.ts';
import { alignUp } from '../bytes/align.ts';
import { allLayers, openChain } from '../chain/chain.ts';
import type { Layer } from '../chain/layer.ts';
import { parseReference } from '../chain/reference.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import { bitmapRanges, readBitmapDirectory, readBitmapTable } from '../image/bitmap-directory.ts';
import type { Image } from '../image/image.ts';
import { lockingOf, type OperationOptions } from './options.ts';

/** Sizes are in bytes; `name`, `granularity` and `flags` are as in `qemu-img info --output=json`. */
export interface ListedBitmap {
  readonly name: string;
  readonly granularity: number;
  readonly flags: readonly ('in-use' | 'auto')[];
  /** Bytes of the disk that are marked; null while the bitmap is in use, since its content means nothing then. */
  readonly dirtyBytes: number | null;
  /** Bytes of the image that its table and its data occupy. */
  readonly diskBytes: number;
}

export interface ListedImage {
  readonly image: string;
  readonly format: 'qcow2' | 'raw';
  readonly virtualSize: number;
  readonly bitmaps: readonly ListedBitmap[];
  /** Software that knows no bitmaps changed the image: QEMU ignores the bitmaps that it held. */
  readonly stale: boolean;
}

export interface BitmapList extends ListedImage {
  /** With `chain`: every image, top first. */
  readonly layers?: readonly ListedImage[];
}

export async function listBitmaps(
  imageName: string,
  options: OperationOptions & { readonly chain?: boolean | undefined } = {},
): Promise<BitmapList> {
  const chain = await openChain(parseReference(imageName, undefined), {
    mode: 'read',
    locking: lockingOf(options),
    onWarning: options.onWarning,
  });
  try {
    if (!options.chain) return await listLayer(chain.top);
    const layers: ListedImage[] = [];
    for (const layer of await allLayers(chain)) layers.push(await listLayer(layer));
    return { ...layers[0]!, layers };
  } finally {
    await chain.close();
  }
}

async function listLayer(layer: Layer): Promise<ListedImage> {
  const { path: image, format, virtualSizeBytes: virtualSize } = layer;
  if (layer.format === 'raw') return { image, format, virtualSize, bitmaps: [], stale: false };
  const bitmaps: ListedBitmap[] = [];
  for (const entry of await readBitmapDirectory(layer.image))
    bitmaps.push(await listEntry(layer.image, entry));
  return { image, format, virtualSize, bitmaps, stale: layer.image.bitmaps.kind === 'stale' };
}

async function listEntry(image: Image, entry: BitmapDirectoryEntry): Promise<ListedBitmap> {
  const table = await readBitmapTable(image, entry);
  const { clusterSizeBytes } = image.header;
  return {
    name: entry.name,
    granularity: 2 ** entry.granularityBits,
    flags: [...(entry.inUse ? (['in-use'] as const) : []), ...(entry.auto ? (['auto'] as const) : [])],
    dirtyBytes: entry.inUse ? null : dirtyBytes(await readBitmap(image, entry, table)),
    diskBytes: bitmapRanges(image, entry, table).reduce(
      (sum, { lengthBytes }) => sum + alignUp(lengthBytes, clusterSizeBytes),
      0,
    ),
  };
}
