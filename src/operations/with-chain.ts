/**
 * Opens the backing chain on which an operation works, and closes it.
 */
import { type Chain, openChain } from '../chain/chain.ts';
import type { OpenLayerOptions } from '../chain/layer.ts';
import type { ImageReference } from '../chain/reference.ts';
import { lockingOf, type OperationOptions } from './options.ts';

/** The default of `mode` is `read`. */
type ChainOptions = OperationOptions & Partial<Pick<OpenLayerOptions, 'mode' | 'heldIdentity' | 'bitmaps'>>;

/** Opens a chain, runs `work`, and closes the chain. */
export async function withChain<T>(
  reference: ImageReference,
  options: ChainOptions,
  work: (chain: Chain) => Promise<T>,
): Promise<T> {
  const { mode = 'read', heldIdentity, bitmaps, onWarning } = options;
  const locking = lockingOf(options);
  const chain = await openChain(reference, { mode, locking, heldIdentity, bitmaps, onWarning });
  try {
    return await work(chain);
  } finally {
    await chain.close();
  }
}
