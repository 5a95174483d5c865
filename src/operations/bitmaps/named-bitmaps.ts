/**
 * Reads bitmaps by name: stored bitmaps of this or another image, or the pseudo-bitmap.
 */
import { cleanBitmap, type DirtyBitmap, markRange, mergeInto } from '../../bitmap/dirty-bitmap.ts';
import { isStorable, ownGranularityBits } from '../../bitmap/granularity.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import type { Chain } from '../../chain/chain.ts';
import type { Layer } from '../../chain/layer.ts';
import { parseReference } from '../../chain/reference.ts';
import { ALLOCATED } from '../../checkpoint/names.ts';
import { RefusedError } from '../../errors.ts';
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';
import { layerBitmap } from '../../guest/allocation/layer-bitmap.ts';
import { type Image, readActiveTables } from '../../image/image.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../../image/stored-bitmaps.ts';
import { tableReading } from '../../image/table-progress.ts';
import { fileIdentity } from '../../storage/file.ts';
import { checkpointReader } from '../checkpoints/checkpoint-reader.ts';
import { requireQcow2, withQcow2 } from '../open-qcow2.ts';
import type { OperationOptions } from '../options.ts';
import { requireConsistentBitmap } from './find-bitmap.ts';

export interface NamedBitmaps {
  readonly names: readonly string[];
  /** The image that has them. Default: the image that is changed. */
  readonly from?: string | undefined;
  /** Accept bitmaps of a disk of another size. Everything beyond the end of a shorter one counts as dirty. */
  readonly anySize?: boolean | undefined;
  /** Each name is a checkpoint: read the union of the bitmaps of that name in the chain. */
  readonly chain?: boolean | undefined;
}

/**
 * Calls `visit` with each bitmap, at its own granularity and for the disk of `target`. Only one bitmap is in
 * memory at a time.
 *
 * @throws RefusedError when one does not exist, cannot be trusted, or is for a disk of another size
 */
export async function visitNamedBitmaps(
  target: Chain,
  { names, from, anySize, chain: isUnited }: NamedBitmaps,
  options: OperationOptions,
  visit: (bitmap: DirtyBitmap) => void,
): Promise<void> {
  const visitAll = async (source: Chain, adapted = (bitmap: DirtyBitmap) => bitmap) => {
    const read = isUnited ? await checkpointReader(source, options) : await bitmapReader(source, options);
    for (const name of names) visit(adapted(await read(name)));
  };
  if (from === undefined) return visitAll(target);
  const reference = parseReference(from, undefined);
  if ((await fileIdentity(reference.path)) === target.top.storage.identity) return visitAll(target);
  return withQcow2(reference, options, (_, source) =>
    visitAll(source, (bitmap) => fitted(bitmap, from, target.top, anySize === true)),
  );
}

async function bitmapReader(
  chain: Chain,
  options: OperationOptions,
): Promise<(name: string) => Promise<DirtyBitmap>> {
  const { image } = requireQcow2(chain);
  refuseStaleBitmaps(image);
  const present = await readBitmapDirectory(image);
  return (name) => readNamedBitmap(image, present, name, options);
}

/** @param name of a stored bitmap, or `#ALLOCATED` for the allocation of the image itself */
export async function readNamedBitmap(
  image: Image,
  present: readonly BitmapDirectoryEntry[],
  name: string,
  options: OperationOptions,
): Promise<DirtyBitmap> {
  if (name !== ALLOCATED) return readBitmap(image, requireConsistentBitmap(image, present, name));
  const tables = await readActiveTables(image);
  const form = {
    content: 'allocated',
    virtualSizeBytes: image.header.virtualSizeBytes,
    granularityBits: ownGranularityBits(image.header),
  } as const;
  const { bitmap } = await layerBitmap(tables, form, tableReading([tables], options));
  return bitmap;
}

function fitted(
  bitmap: DirtyBitmap,
  from: string,
  { path, virtualSizeBytes }: Layer,
  anySize: boolean,
): DirtyBitmap {
  if (bitmap.virtualSizeBytes === virtualSizeBytes) return bitmap;
  if (!anySize) {
    throw new RefusedError(
      'SIZE_MISMATCH',
      `${path}: its disk has ${virtualSizeBytes} bytes, that of ${from} ${bitmap.virtualSizeBytes}: the bitmap does not cover the rest`,
      {
        remedy: { kind: 'accept-any-size' },
        context: { file: path, sizeBytes: virtualSizeBytes, fromSizeBytes: bitmap.virtualSizeBytes },
      },
    );
  }
  // A granule should not span the end of the shorter disk, since the marks before that end are known. If the
  // disk is too large for a finer granularity, the result marks more than necessary.
  let { granularityBits } = bitmap;
  while (
    bitmap.virtualSizeBytes % 2 ** granularityBits !== 0 &&
    isStorable(virtualSizeBytes, granularityBits - 1)
  )
    granularityBits--;
  const result = cleanBitmap(virtualSizeBytes, granularityBits);
  mergeInto(result, bitmap);
  markRange(result, bitmap.virtualSizeBytes, virtualSizeBytes);
  return result;
}
