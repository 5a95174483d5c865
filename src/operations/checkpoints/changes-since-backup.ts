/**
 * Finds the changes since a checkpoint by comparison with the backup that was made with it.
 */
import { cleanBitmap, markRange } from '../../bitmap/dirty-bitmap.ts';
import { allLayers, type Chain } from '../../chain/chain.ts';
import type { KnownChanges } from '../../checkpoint/repair/known-changes.ts';
import { compareChains, requireSameSize, selfComparison, withComparedDisk } from '../compared-disk.ts';
import type { OperationOptions } from '../options.ts';

/** @param backup qcow2 or raw, with its backing chain: the disk as it was when the checkpoint was made */
export function changesSinceBackup(
  chain: Chain,
  backup: string,
  options: OperationOptions,
): Extract<KnownChanges, { kind: 'backup' }> {
  return {
    kind: 'backup',
    path: backup,
    async differences(granularityBits, lowest) {
      const bitmap = cleanBitmap(chain.top.virtualSizeBytes, granularityBits);
      await withComparedDisk(chain, backup, options, async ({ compared, shared }) => {
        requireSameSize(chain, compared, { remedy: { kind: 'equalize-sizes' } });
        const written = shared.find(({ depth }) => depth <= lowest);
        if (written !== undefined) throw selfComparison((await allLayers(chain))[written.depth]!, compared);
        const comparison = {
          unitBytes: 2 ** granularityBits,
          onDifference: (offset: number, length: number) => markRange(bitmap, offset, length),
        };
        await compareChains(chain, compared, comparison, options);
      });
      return bitmap;
    },
  };
}
