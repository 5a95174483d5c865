/**
 * Marks the differences between a disk and the disk of another image.
 */
import { type DirtyBitmap, markRange } from '../../bitmap/dirty-bitmap.ts';
import type { Chain } from '../../chain/chain.ts';
import { compareChains, requireSameSize, withComparedDisk } from '../compared-disk.ts';
import type { OperationOptions } from '../options.ts';

export interface ComparedImage {
  /** The other image: qcow2 or raw, with its backing chain. */
  readonly image: string;
  /** Accept an image of another size. Everything beyond the end of a shorter one counts as dirty. */
  readonly anySize?: boolean | undefined;
}

/**
 * Marks every granule whose guest data differs from that of the other image.
 *
 * @returns images that both disks are read through
 * @throws RefusedError for a disk of another size without `anySize`, for a disk that is read through the
 * image itself, or for data that cannot be read
 */
export async function markDifferences(
  bitmap: DirtyBitmap,
  chain: Chain,
  { image, anySize }: ComparedImage,
  options: OperationOptions,
): Promise<readonly string[]> {
  return withComparedDisk(chain, image, options, async ({ compared, shared }) => {
    if (anySize !== true) {
      requireSameSize(chain, compared, { remedy: { kind: 'accept-any-size' } });
    }
    const otherSizeBytes = compared.top.virtualSizeBytes;
    const comparison = {
      unitBytes: 2 ** bitmap.granularityBits,
      endBytes: Math.min(bitmap.virtualSizeBytes, otherSizeBytes),
      onDifference: (offset: number, length: number) => markRange(bitmap, offset, length),
    };
    await compareChains(chain, compared, comparison, options);
    markRange(bitmap, otherSizeBytes, bitmap.virtualSizeBytes - otherSizeBytes);
    return shared.map((image) => image.path);
  });
}
