/**
 * Opens another image, of any supported format, to compare a disk with it.
 */
import type { Chain } from '../chain/chain.ts';
import type { Layer } from '../chain/layer.ts';
import { parseReference } from '../chain/reference.ts';
import { RefusedError } from '../errors.ts';
import { type Comparison, compareDisks } from '../guest/comparison/compare-disks.ts';
import { type SharedImage, sharedImages } from '../guest/comparison/shared-images.ts';
import { openGuestReader } from '../guest/data/guest-reader.ts';
import type { Remedy } from '../remedy.ts';
import { lockingOf, type OperationOptions } from './options.ts';
import { withChain } from './with-chain.ts';

export interface ComparedDisk {
  readonly compared: Chain;
  /** Images below the top that both disks are read through. A change of such an image is not a difference. */
  readonly shared: readonly SharedImage[];
}

/**
 * Opens the image called `name`, runs `work` and closes the image. Locks each image of its chain that is
 * read, except the top of `chain`, which is already locked.
 *
 * @throws RefusedError SELF_COMPARISON when that image is read through the top of `chain`
 */
export async function withComparedDisk<T>(
  chain: Chain,
  name: string,
  options: OperationOptions,
  work: (disk: ComparedDisk) => Promise<T>,
): Promise<T> {
  const reference = parseReference(name, undefined);
  const opening = { ...options, heldIdentity: chain.top.storage.identity };
  return withChain(reference, opening, async (compared) => {
    const { format, path } = compared.top;
    if (reference.format === undefined && format === 'raw') {
      options.onWarning?.(`${path}: read as a raw image, because it has no header of another format`, {
        kind: 'state-raw-format',
        file: path,
      });
    }
    const shared = await sharedImages(chain, compared);
    if (shared[0]?.depth === 0) throw selfComparison(chain.top, compared);
    return work({ compared, shared });
  });
}

/**
 * A libvirt push backup has the image as its backing file, unless its file was created before with another
 * one.
 */
export function selfComparison(top: Pick<Layer, 'path' | 'storage'>, { top: other }: Chain): RefusedError {
  const isSame = other.storage.identity === top.storage.identity;
  const what = isSame
    ? 'is this image itself'
    : `is read through ${top.path} itself, or through its data file`;
  return new RefusedError(
    'SELF_COMPARISON',
    `${top.path}: ${isSame ? 'the image to compare it with' : other.path} ${what}, so that no change of it would be a difference`,
    {
      remedy: isSame ? { kind: 'name-earlier-disk' } : { kind: 'rebase-backup', file: other.path },
      context: { file: top.path, compared: other.path },
    },
  );
}

/**
 * @param instead a remedy, or the reason why there is none
 * @throws RefusedError SIZE_MISMATCH
 */
export function requireSameSize(
  { top }: Chain,
  { top: other }: Chain,
  instead: { remedy: Remedy } | { reason: string },
): void {
  const [sizeBytes, otherSizeBytes] = [top.virtualSizeBytes, other.virtualSizeBytes];
  if (sizeBytes === otherSizeBytes) return;
  throw new RefusedError(
    'SIZE_MISMATCH',
    `${top.path}: its disk has ${sizeBytes} bytes, that of ${other.path} ${otherSizeBytes}${'reason' in instead ? `: ${instead.reason}` : ''}`,
    {
      remedy: 'remedy' in instead ? instead.remedy : undefined,
      context: { file: top.path, sizeBytes, otherSizeBytes },
    },
  );
}

/** Compares the guest data of two chains, and reports progress. */
export async function compareChains(
  left: Chain,
  right: Chain,
  { unitBytes, endBytes, onDifference }: Pick<Comparison, 'unitBytes' | 'endBytes' | 'onDifference'>,
  options: OperationOptions,
): Promise<void> {
  const { signal, onProgress } = options;
  const image = left.top.path;
  const totalBytes = endBytes ?? Math.max(left.top.virtualSizeBytes, right.top.virtualSizeBytes);
  const leftReader = await openGuestReader(left, lockingOf(options));
  const rightReader = await openGuestReader(right, lockingOf(options));
  try {
    await compareDisks(leftReader, rightReader, {
      unitBytes,
      endBytes,
      onDifference,
      signal,
      onProgress: (doneBytes) => onProgress?.({ phase: 'comparing', image, doneBytes, totalBytes }),
    });
  } finally {
    await leftReader.close();
    await rightReader.close();
  }
}
