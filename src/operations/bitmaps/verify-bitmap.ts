/**
 * Verifies a bitmap: it must mark all differences between the present disk and an earlier state of it.
 */
import {
  cleanBitmap,
  dirtyBytes,
  markRange,
  visitDirtyExtents,
  withoutMarks,
} from '../../bitmap/dirty-bitmap.ts';
import type { ByteRange } from '../../bytes/range.ts';
import { type Chain, reachableLayers } from '../../chain/chain.ts';
import { parseReference } from '../../chain/reference.ts';
import { examineChainImage } from '../../checkpoint/chain/chain-images.ts';
import { ALLOCATED } from '../../checkpoint/names.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../../image/stored-bitmaps.ts';
import { SECTOR_BYTES } from '../../storage/storage.ts';
import { compareChains, requireSameSize, withComparedDisk } from '../compared-disk.ts';
import { withQcow2 } from '../open-qcow2.ts';
import type { OperationOptions } from '../options.ts';
import { withLowerImages } from './dump-bitmap.ts';
import { readNamedBitmap } from './named-bitmaps.ts';

/** Limits the result: millions of ranges may be missing. */
const RANGES_LISTED = 10_000;

export interface BitmapVerdict {
  readonly schema: 1;
  readonly image: string;
  readonly bitmap: string;
  /** The image as it was when the bitmap began to record. */
  readonly against: string;
  /**
   * Images below that also have a bitmap of that name. It was not read, so an incremental backup, which unites
   * them, may copy what is missing here.
   */
  readonly unreadImages: readonly string[];
  /** Images that both disks are read through. Writes to them since the bitmap began are not compared. */
  readonly sharedImages: readonly string[];
  readonly virtualSize: number;
  readonly granularity: number;
  /** Whether the bitmap marks everything that differs. */
  readonly covered: boolean;
  /** Bytes of the 512-byte sectors that differ. */
  readonly differingBytes: number;
  /** Bytes that the bitmap marks. */
  readonly dirtyBytes: number;
  /** Bytes of granules with differences that the bitmap does not mark. */
  readonly missingBytes: number;
  /** Bytes of marked granules without differences: harmless, but copied unnecessarily. */
  readonly needlessBytes: number;
  /** Number of missing ranges; adjacent granules are joined. */
  readonly missingRanges: number;
  /** The first of them; an incremental backup would not copy them. */
  readonly missing: readonly ByteRange[];
}

export interface VerifyOptions extends OperationOptions {
  /** Unite the bitmaps of that name in all images of the chain, as libvirt does for an incremental backup. */
  readonly chain?: boolean | undefined;
}

/**
 * Compares the guest data of two images, and compares the differences with a bitmap of the first.
 *
 * @param imageName the image as it is now, which has the bitmap
 * @param name of a stored bitmap, or `#ALLOCATED` for the allocation of the image itself
 * @param against the earlier state of the image: qcow2 or raw, with its backing chain
 * @throws RefusedError when the bitmap does not exist or cannot be trusted, or the disks have different
 * sizes. Also when `against` is read through the image itself, or encrypted data would have to be read
 */
export async function verifyBitmap(
  imageName: string,
  name: string,
  against: string,
  options: VerifyOptions = {},
): Promise<BitmapVerdict> {
  return withQcow2(parseReference(imageName, undefined), options, async ({ image, path }, chain) => {
    if (name !== ALLOCATED) refuseStaleBitmaps(image);
    const own = await readNamedBitmap(image, await readBitmapDirectory(image), name, options);
    const marked = options.chain ? await withLowerImages(own, chain, name, options) : own;
    const needed = cleanBitmap(marked.virtualSizeBytes, marked.granularityBits);
    let differingBytes = 0;
    const other = await withComparedDisk(chain, against, options, async ({ compared: old, shared }) => {
      requireSameSize(chain, old, { reason: 'a bitmap does not record a change of size' });
      // Count differences in sectors, as QEMU does.
      const comparison = {
        unitBytes: SECTOR_BYTES,
        onDifference(offset: number, length: number) {
          differingBytes += length;
          markRange(needed, offset, length);
        },
      };
      await compareChains(chain, old, comparison, options);
      return { against: old.top.path, sharedImages: shared.map((image) => image.path) };
    });
    const [neededBytes, markedBytes] = [dirtyBytes(needed), dirtyBytes(marked)];
    const missing = withoutMarks(needed, marked);
    const ranges: ByteRange[] = [];
    let missingRanges = 0;
    visitDirtyExtents(missing, (offset, length) => {
      if (missingRanges < RANGES_LISTED) ranges.push({ offset, length });
      missingRanges++;
    });
    const missingBytes = dirtyBytes(missing);
    return {
      schema: 1,
      image: path,
      bitmap: name,
      ...other,
      unreadImages: options.chain ? [] : await lowerImagesWith(name, chain),
      virtualSize: marked.virtualSizeBytes,
      granularity: 2 ** marked.granularityBits,
      covered: missingBytes === 0,
      differingBytes,
      dirtyBytes: markedBytes,
      missingBytes,
      // Needed granules that are not missing are marked.
      needlessBytes: markedBytes - (neededBytes - missingBytes),
      missingRanges,
      missing: ranges,
    };
  });
}

async function lowerImagesWith(name: string, chain: Chain): Promise<string[]> {
  const { layers } = await reachableLayers(chain);
  const images: string[] = [];
  for (const layer of layers.slice(1)) {
    const { present } = await examineChainImage(layer);
    if (present.some((entry) => entry.name === name)) images.push(layer.path);
  }
  return images;
}
