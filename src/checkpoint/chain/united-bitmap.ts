/**
 * The bitmaps of one name in several images of a chain, as one: what libvirt takes for an incremental backup.
 */
import { cleanBitmap, type DirtyBitmap, mergeInto } from '../../bitmap/dirty-bitmap.ts';
import { type ChainImage, readMarks } from './chain-images.ts';

/**
 * Unites at the finest granularity, for the disk of the first image.
 *
 * @param images top first; each has a bitmap of that name that can be relied upon
 */
export async function uniteBitmaps(images: readonly ChainImage[], name: string): Promise<DirtyBitmap> {
  const entries = images.map(({ bitmaps }) => bitmaps.get(name)!);
  const granularityBits = Math.min(...entries.map((entry) => entry.granularityBits));
  const united = cleanBitmap(images[0]!.layer.virtualSizeBytes, granularityBits);
  for (const image of images) mergeInto(united, await readMarks(image, name));
  return united;
}
