/**
 * Opens the chains of all disks that a command changes.
 */
import { type Chain, openChain } from '../../chain/chain.ts';
import { parseReference } from '../../chain/reference.ts';
import { lockingOf, type OperationOptions } from '../options.ts';

/**
 * @param chains receives each chain as soon as it is open. The caller closes them, also after an error.
 * @throws BitmapToolError when one cannot be opened
 */
export async function openChainsToChange(
  imageNames: readonly string[],
  options: OperationOptions & { readonly dryRun?: boolean | undefined },
  chains: Chain[],
): Promise<void> {
  for (const name of imageNames) {
    const chain = await openChain(parseReference(name, undefined), {
      mode: options.dryRun ? 'read' : 'write-later',
      locking: lockingOf(options),
      onWarning: options.onWarning,
    });
    chains.push(chain);
  }
}
