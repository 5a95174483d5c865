/**
 * Opens the qcow2 image that an operation reads.
 */
import type { Chain } from '../chain/chain.ts';
import type { Qcow2Layer } from '../chain/layer.ts';
import type { ImageReference } from '../chain/reference.ts';
import { RefusedError } from '../errors.ts';
import type { OperationOptions } from './options.ts';
import { withChain } from './with-chain.ts';

/** Opens a qcow2 image for reading, runs `work`, and closes it. */
export async function withQcow2<T>(
  reference: ImageReference,
  options: OperationOptions,
  work: (layer: Qcow2Layer, chain: Chain) => Promise<T>,
): Promise<T> {
  return withChain(reference, options, (chain) => work(requireQcow2(chain), chain));
}

export function requireQcow2({ top }: Chain): Qcow2Layer {
  if (top.format === 'qcow2') return top;
  throw new RefusedError('UNSUPPORTED', `${top.path}: a raw image cannot hold bitmaps`, {
    remedy: { kind: 'overlay-raw-image', file: top.path },
    context: { file: top.path },
  });
}
