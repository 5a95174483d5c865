/**
 * Reads the union of a checkpoint's bitmaps in all images of a chain, if the checkpoint is valid.
 */
import type { DirtyBitmap } from '../../bitmap/dirty-bitmap.ts';
import type { Chain } from '../../chain/chain.ts';
import { isInMemory, lowestHolderIndex } from '../../checkpoint/chain/bitmap-state.ts';
import { readChainImages } from '../../checkpoint/chain/chain-images.ts';
import type { InspectedImage } from '../../checkpoint/chain/inspect-chain-image.ts';
import { uniteBitmaps } from '../../checkpoint/chain/united-bitmap.ts';
import { ALLOCATED } from '../../checkpoint/names.ts';
import { repairAdvice } from '../../checkpoint/repair/repair-advice.ts';
import { holdingsOf, inspectChain } from '../../checkpoint/verdict/inspect-chain.ts';
import { judge } from '../../checkpoint/verdict/verdict.ts';
import { RefusedError, UsageError } from '../../errors.ts';
import type { OperationOptions } from '../options.ts';

/**
 * Examines every image of the chain.
 *
 * @returns a function that reads a checkpoint for the disk of the top image. It throws RefusedError when
 * libvirt would refuse the checkpoint, or when an incremental backup from it would fail or lack changes
 */
export async function checkpointReader(
  chain: Chain,
  options: OperationOptions,
): Promise<(name: string) => Promise<DirtyBitmap>> {
  const images = await inspectChain(await readChainImages(chain), [], options);
  return async (name) => uniteBitmaps(requireValid(images, name), name);
}

/** The images from the top down to the one in which the checkpoint begins. */
function requireValid(images: readonly InspectedImage[], name: string): readonly InspectedImage[] {
  const top = images[0]!.layer.path;
  if (name === ALLOCATED) {
    throw new UsageError(`"${ALLOCATED}" is not a checkpoint: it stands for what one image itself holds`);
  }
  const context = { file: top, checkpoint: name };
  const holdings = holdingsOf(images, name);
  const lowest = lowestHolderIndex(holdings.map(({ state }) => state));
  if (lowest === undefined) {
    throw new RefusedError('BITMAP_NOT_FOUND', `${top}: no image of the chain has a bitmap "${name}"`, {
      remedy: { kind: 'see-checkpoints', images: [top] },
      context,
    });
  }
  const [problem] = judge(name, holdings).problems;
  if (problem !== undefined) {
    throw new RefusedError(
      'BITMAP_INCONSISTENT',
      `${top}: checkpoint "${name}" is not valid: ${problem.message}`,
      {
        remedy: repairAdvice(name, holdings, { kind: 'unknown' }) ?? {
          kind: 'see-checkpoints',
          images: [top],
        },
        context,
      },
    );
  }
  const unknown = holdings.slice(0, lowest + 1).find(({ state }) => isInMemory(state));
  if (unknown !== undefined) {
    throw new RefusedError(
      'BITMAP_INCONSISTENT',
      `${unknown.image}: a program has the image open for writing, and only that program knows its bitmap "${name}"`,
      { remedy: { kind: 'stop-other-writer' }, context },
    );
  }
  return images.slice(0, lowest + 1);
}
