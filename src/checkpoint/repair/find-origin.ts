/**
 * Finds the image in which a checkpoint began: from its bitmaps, its XML, or the image that a person names.
 */
import { RefusedError, UsageError } from '../../errors.ts';
import type { Remedy } from '../../remedy.ts';
import { type ChainImage, lowestHolder } from '../chain/chain-images.ts';
import type { KnownCheckpoint } from '../known/choose-checkpoints.ts';
import { originFrom } from '../known/origin-evidence.ts';
import { contradiction, noBitmap } from '../verdict/verdict.ts';

/** Whether the origin is unknown: the bitmaps and the XML do not show it, or they contradict each other. */
export function isOriginOpen(images: readonly ChainImage[], { name, origin }: KnownCheckpoint): boolean {
  return originFrom(origin, lowestHolder(images, name)) === undefined;
}

/**
 * @param statedIndex index of the image that a person has named as active
 * @param isNamed the person has named the checkpoint. `statedIndex` may then be lower than the image that its
 * bitmaps show
 * @throws RefusedError if the origin is unknown, or if the named image contradicts the XML of the checkpoint
 */
export function findOrigin(
  images: readonly ChainImage[],
  checkpoint: KnownCheckpoint,
  statedIndex: number | undefined,
  isNamed: boolean,
): number {
  const { name, origin: evidence } = checkpoint;
  const shown = originFrom(evidence, lowestHolder(images, name));
  if (shown !== undefined) {
    if (statedIndex === undefined || !isNamed || statedIndex >= shown)
      return statedIndex !== undefined && isNamed ? statedIndex : shown;
    throw new UsageError(
      `origin ${pathOf(images, statedIndex)}: ${pathOf(images, shown)} below it has the bitmap "${name}" too, or was active when it was made, so the checkpoint is at least as old as that image`,
    );
  }
  switch (evidence.kind) {
    case 'unknown':
    case 'in-chain':
      if (statedIndex !== undefined) return statedIndex;
      throw refused(images, checkpoint, { kind: 'name-origin' });
    case 'lower': {
      if (statedIndex !== undefined && statedIndex >= evidence.first) return statedIndex;
      const [first, last] = [pathOf(images, evidence.first), pathOf(images, evidence.last)];
      throw refused(images, checkpoint, {
        kind: 'name-image-of-then',
        name,
        last,
        first: first === last ? undefined : first,
      });
    }
    case 'left':
      throw refused(images, checkpoint, {
        kind: 'mark-left-branch',
        name,
        left: evidence.isThere && evidence.fork !== undefined ? evidence.path : undefined,
      });
  }
}

function refused(
  images: readonly ChainImage[],
  { name, origin }: KnownCheckpoint,
  remedy: Remedy | undefined,
): RefusedError {
  const chain = images.map(({ layer }) => ({ image: layer.path }));
  const top = chain[0]!.image;
  const isHeld = lowestHolder(images, name) !== undefined;
  const what = isHeld ? `"${name}": ${contradiction(name, chain, origin)}` : noBitmap(name, chain, origin);
  return new RefusedError('BITMAP_NOT_FOUND', `${top}: ${what}`, {
    remedy,
    context: { file: top, bitmap: name },
  });
}

function pathOf(images: readonly ChainImage[], index: number): string {
  return images[index]!.layer.path;
}
