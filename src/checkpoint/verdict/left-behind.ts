/**
 * Finds temporary bitmaps that a job did not remove, because QEMU or libvirt ended before the job.
 */
import type { Problem } from '../../inspection/problem.ts';
import type { ChainImage } from '../chain/chain-images.ts';
import { isTemporaryName } from '../names.ts';

/** @param known names of recorded checkpoints: a person may have chosen such a name */
export function leftBehind(
  { layer, present, isBeingWritten, running }: ChainImage,
  known: readonly { readonly name: string }[],
): Problem[] {
  // A job may be running.
  if (isBeingWritten || running !== undefined) return [];
  return present
    .filter(({ name }) => isTemporaryName(name) && !known.some((checkpoint) => checkpoint.name === name))
    .map(({ name }) => ({
      code: 'temporary-bitmap',
      severity: 'note',
      bitmap: name,
      message: `bitmap "${name}" has a name that libvirt gives to bitmaps during a job: an interrupted job has left it, and no checkpoint needs it`,
      remedy: { kind: 'remove-bitmap', file: layer.path, name },
      unopenable: false,
    }));
}
