/**
 * Orders the repair of the images of a chain. An interrupted repair must not leave a checkpoint that only
 * seems valid.
 */
import type { ImageRepair } from './image-repair.ts';

/**
 * Writes from the bottom up where possible. libvirt must refuse each checkpoint until all its bitmaps are
 * written. So the last image written for a checkpoint must have a defect that libvirt detects. libvirt does
 * not detect marks that a bitmap lacks. It also does not detect a missing bitmap below all others.
 *
 * If checkpoints need opposite orders of two images, no order is right. The other images are then written
 * from the bottom up.
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
  /** Checkpoints that libvirt refuses and whose last image is not found yet. */
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
