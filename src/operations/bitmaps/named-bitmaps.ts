/**
 * Bitmaps given by name as something to read: stored ones of this or another image, or the pseudo-bitmap.
 */

import { cleanBitmap, type DirtyBitmap, markRange, mergeInto } from '../../bitmap/dirty-bitmap.ts';
import { isStorable, ownGranularityBits } from '../../bitmap/granularity.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import { noHostClusters } from '../../census/host-clusters.ts';
import { parseReference } from '../../chain/reference.ts';
import { ALLOCATED } from '../../checkpoint/names.ts';
import { RefusedError } from '../../errors.ts';
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';
import { layerBitmap } from '../../guest/allocation/layer-bitmap.ts';
import { type Image, readActiveL1Table } from '../../image/image.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../../image/stored-bitmaps.ts';
import { tableReading } from '../../image/table-progress.ts';
import { fileIdentity } from '../../storage/file.ts';
import { withQcow2 } from '../open-qcow2.ts';
import type { OperationOptions } from '../options.ts';
import { requireConsistentBitmap } from './find-bitmap.ts';

export interface NamedBitmaps {
  readonly names: readonly string[];
  /** The image that has them; without it the image that is changed. */
  readonly from?: string | undefined;
  /** Take bitmaps of a disk of another size: beyond the end of a shorter one everything counts as dirty. */
  readonly anySize?: boolean | undefined;
}

/** An image whose directory has been read. */
interface OpenImage {
  readonly image: Image;
  readonly present: readonly BitmapDirectoryEntry[];
  /** Of its file: the image may be named as the one to read from, too. */
  readonly identity: string;
}

/**
 * Calls `visit` with each bitmap, at its own granularity and for the disk of `target`; one is in memory at a time.
 *
 * @throws RefusedError when one does not exist, cannot be trusted, or is for a disk of another size
 */
export async function visitNamedBitmaps(
  target: OpenImage,
  { names, from, anySize }: NamedBitmaps,
  options: OperationOptions,
  visit: (bitmap: DirtyBitmap) => void,
): Promise<void> {
  const visitAll = async (
    { image, present }: Omit<OpenImage, 'identity'>,
    adapted = (bitmap: DirtyBitmap) => bitmap,
  ) => {
    for (const name of names) visit(adapted(await readNamedBitmap(image, present, name, options)));
  };
  if (from === undefined) return visitAll(target);
  const reference = parseReference(from, undefined);
  if ((await fileIdentity(reference.path)) === target.identity) return visitAll(target);
  return withQcow2(reference, options, async ({ image }) => {
    refuseStaleBitmaps(image);
    await visitAll({ image, present: await readBitmapDirectory(image) }, (bitmap) =>
      fitted(bitmap, from, target.image, anySize === true),
    );
  });
}

/** @param name of a stored bitmap, or `#ALLOCATED` for what the image itself holds */
export async function readNamedBitmap(
  image: Image,
  present: readonly BitmapDirectoryEntry[],
  name: string,
  options: OperationOptions,
): Promise<DirtyBitmap> {
  if (name !== ALLOCATED) return readBitmap(image, requireConsistentBitmap(image, present, name));
  const l2Offsets = await readActiveL1Table(image);
  const form = {
    content: 'held',
    virtualSizeBytes: image.header.virtualSizeBytes,
    granularityBits: ownGranularityBits(image.header),
  } as const;
  const reading = tableReading([{ image, l2Offsets }], options);
  return layerBitmap(image, l2Offsets, noHostClusters(image), form, reading);
}

function fitted(
  bitmap: DirtyBitmap,
  from: string,
  { storage, header }: Image,
  anySize: boolean,
): DirtyBitmap {
  const { virtualSizeBytes } = header;
  if (bitmap.virtualSizeBytes === virtualSizeBytes) return bitmap;
  if (!anySize) {
    throw new RefusedError(
      'SIZE_MISMATCH',
      `${storage.name}: its disk has ${virtualSizeBytes} bytes, that of ${from} ${bitmap.virtualSizeBytes}: the bitmap knows nothing of the rest`,
      {
        hint: 'With --any-size what lies beyond the shorter disk counts as dirty.',
        context: { file: storage.name, sizeBytes: virtualSizeBytes, fromSizeBytes: bitmap.virtualSizeBytes },
      },
    );
  }
  // A granule must not span the end of the shorter disk: what is before it is known. Of a huge disk it may all the same,
  // and more is marked then than need be.
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
