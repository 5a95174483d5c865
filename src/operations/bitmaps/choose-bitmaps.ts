/**
 * Chooses the bitmaps of an image or a chain to remove: the named ones, all, or those without a checkpoint on
 * file.
 */
import type { Chain } from '../../chain/chain.ts';
import { readChainImages } from '../../checkpoint/chain/chain-images.ts';
import { type CheckpointFiles, readRecords } from '../../checkpoint/known/known-checkpoints.ts';
import { RefusedError, UsageError } from '../../errors.ts';
import type { OperationOptions } from '../options.ts';

export type BitmapChoice =
  | { readonly kind: 'named'; readonly names: readonly string[] }
  | { readonly kind: 'all' }
  /** Bitmaps that no checkpoint of the files has, including those of interrupted jobs. */
  | ({ readonly kind: 'unknown' } & CheckpointFiles);

/**
 * @returns a function that checks whether a bitmap of that name is chosen
 * @throws RefusedError when the files seem to belong to another disk
 */
export async function readChoice(
  chain: Chain,
  choice: BitmapChoice,
  options: OperationOptions,
): Promise<(name: string) => boolean> {
  switch (choice.kind) {
    case 'named': {
      const names = new Set(choice.names);
      return (name) => names.has(name);
    }
    case 'all':
      return () => true;
    case 'unknown': {
      const known = await knownNames(chain, choice, options);
      return (name) => !known.has(name);
    }
  }
}

async function knownNames(
  chain: Chain,
  files: CheckpointFiles,
  options: OperationOptions,
): Promise<ReadonlySet<string>> {
  const records = await readRecords(files, 1, options);
  if (records === undefined) throw new UsageError('the existing checkpoints must be on file');
  const images = await readChainImages(chain);
  const known = new Set((await records.of([images])).flat().map(({ name }) => name));
  // Without this check, a wrong folder would remove all bitmaps, including those of checkpoints.
  if (!images.some(({ bitmaps }) => Array.from(bitmaps.keys()).some((name) => known.has(name)))) {
    throw new RefusedError(
      'INVALID_CHECKPOINT',
      `${chain.top.path}: no image of the chain has a bitmap of any of these checkpoints: they seem to be about another disk`,
      { remedy: { kind: 'remove-all-bitmaps' }, context: { file: chain.top.path } },
    );
  }
  return known;
}
