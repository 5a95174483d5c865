/**
 * Opens another image, of any kind that is read here, to compare a disk with it.
 */
import { type Chain, openChain } from '../chain/chain.ts';
import { parseReference } from '../chain/reference.ts';
import { RefusedError } from '../errors.ts';
import { type Comparison, compareDisks } from '../guest/comparison/compare-disks.ts';
import { openGuestReader } from '../guest/data/guest-reader.ts';
import { lockingOf, type OperationOptions } from './options.ts';

/**
 * Opens the image called `name`, runs `work` and closes the image. All of its chain is locked as far as it is read,
 * except a file that `chain` has as its top: that one is held already.
 */
export async function withComparedDisk<T>(
  chain: Chain,
  name: string,
  options: OperationOptions,
  work: (compared: Chain) => Promise<T>,
): Promise<T> {
  const reference = parseReference(name, undefined);
  const compared = await openChain(reference, {
    mode: 'read',
    locking: lockingOf(options),
    heldIdentity: chain.top.storage.identity,
    onWarning: options.onWarning,
  });
  try {
    const { format, path } = compared.top;
    if (reference.format === undefined && format === 'raw') {
      options.onWarning?.(
        `${path}: taken for a raw image, since it has no header of another format; to say so yourself: json:{"driver":"raw","file":{"driver":"file","filename":${JSON.stringify(path)}}}`,
      );
    }
    return await work(compared);
  } finally {
    await compared.close();
  }
}

/** @throws RefusedError SIZE_MISMATCH */
export function requireSameSize({ top }: Chain, { top: other }: Chain, hint: string): void {
  const [sizeBytes, otherSizeBytes] = [top.virtualSizeBytes, other.virtualSizeBytes];
  if (sizeBytes === otherSizeBytes) return;
  throw new RefusedError(
    'SIZE_MISMATCH',
    `${top.path}: its disk has ${sizeBytes} bytes, that of ${other.path} ${otherSizeBytes}`,
    { hint, context: { file: top.path, sizeBytes, otherSizeBytes } },
  );
}

/** Compares what guests see of two chains, and reports progress. */
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
