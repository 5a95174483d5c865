/**
 * Unites the bitmaps of one name in several images of a chain, as libvirt does for an incremental backup.
 */
import { cleanBitmap, type DirtyBitmap, mergeInto } from '../../bitmap/dirty-bitmap.ts';
import { type ChainImage, readMarks } from './chain-images.ts';

/**
 * Unites at the finest granularity, with the disk size of the first image.
 *
 * @param images top first; each has a reliable bitmap of that name
 */
export async function uniteBitmaps(images: readonly ChainImage[], name: string): Promise<DirtyBitmap> {
  const entries = images.map(({ bitmaps }) => bitmaps.get(name)!);
  const granularityBits = Math.min(...entries.map((entry) => entry.granularityBits));
  const united = cleanBitmap(images[0]!.layer.virtualSizeBytes, granularityBits);
  for (const image of images) mergeInto(united, await readMarks(image, name));
  return united;
}
