/**
 * Checks the checkpoints of disks that a running QEMU has open, with data that only QEMU has.
 */
import { readRecords } from '../../checkpoint/known/known-checkpoints.ts';
import { type CheckOptions, type CheckResult, checkChains } from '../checkpoints/check-checkpoints.ts';
import type { RunningQemu } from './open-qemu.ts';
import { examineRunning } from './running-chain.ts';
import { withRunningImages } from './running-image.ts';

/**
 * Changes no bitmap, and removes the temporary objects that it needs in QEMU.
 *
 * @param imageNames the active image of each disk
 */
export async function checkRunning(
  qemu: RunningQemu,
  imageNames: readonly string[],
  options: CheckOptions = {},
): Promise<CheckResult> {
  const records = await readRecords(options, imageNames.length, options);
  return withRunningImages(qemu, imageNames, options, (images) =>
    checkChains(
      images.map((running) => ({ chain: running.chain, examine: examineRunning(running, options) })),
      records,
      options,
    ),
  );
}
