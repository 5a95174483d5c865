/**
 * In which order the images of a chain are repaired, so that a repair that is cut short leaves nothing that seems valid.
 */
import type { ImageRepair } from './image-repair.ts';

/**
 * From the bottom up, as far as that keeps each checkpoint refused until all of it is there: the image that is written last
 * for it must be one because of which libvirt refuses it. libvirt does not miss what a bitmap is topped up with, nor a bitmap
 * below all others.
 *
 * Where checkpoints want opposite orders of two images none can be right, and the rest goes from the bottom up.
 *
 * @param images those of one chain that have bitmaps of its checkpoints, top first
 */
export function orderWrites(images: readonly ImageRepair[]): ImageRepair[] {
  const origins = new Map<string, ImageRepair>();
  for (const image of images) for (const { name } of image.bitmaps) origins.set(name, image);
  const isSeen = (image: ImageRepair, { name, action }: ImageRepair['bitmaps'][number]) =>
    action === 'add' ? image === images[0] || image !== origins.get(name) : action !== 'top-up';

  const waiting = images.filter(({ plan }) => plan !== undefined);
  const changes = new Map(
    waiting.map((image) => [image, image.bitmaps.filter(({ action }) => action !== 'keep')]),
  );
  const seenIn = (image: ImageRepair) => changes.get(image)!.filter((bitmap) => isSeen(image, bitmap));
  /** Checkpoints that libvirt refuses, and of which the last image has not been found. */
  const open = new Set(waiting.flatMap(seenIn).map(({ name }) => name));
  const backwards: ImageRepair[] = [];
  while (waiting.length > 0) {
    const fit = waiting.findIndex((image) =>
      changes.get(image)!.every((bitmap) => isSeen(image, bitmap) || !open.has(bitmap.name)),
    );
    const [last] = waiting.splice(Math.max(fit, 0), 1);
    for (const { name } of seenIn(last!)) open.delete(name);
    backwards.push(last!);
  }
  return backwards.reverse();
}
