/**
 * Checks the checkpoints of whole backing chains, and unites the results of all disks.
 */
import { type Chain, openChain } from '../../chain/chain.ts';
import { parseReference } from '../../chain/reference.ts';
import { examineChainImage } from '../../checkpoint/chain/chain-images.ts';
import { checkpointNamesOf } from '../../checkpoint/known/choose-checkpoints.ts';
import {
  type CheckpointFiles,
  type CheckpointRecords,
  readRecords,
} from '../../checkpoint/known/known-checkpoints.ts';
import { type Need, uniteAdvice } from '../../checkpoint/repair/unite-advice.ts';
import { lockingOf, type OperationOptions } from '../options.ts';
import {
  type ChainToCheck,
  type CheckedCheckpoint,
  type CheckedDisk,
  checkDisk,
  type ExaminedDisk,
  examineDisk,
} from './check-disk.ts';
import { findInterrupted, withInterrupted } from './interrupted-checkpoints.ts';

export interface CheckOptions extends OperationOptions, CheckpointFiles {}

export interface CheckResult {
  readonly schema: 1;
  /** No problem was found that needs action. */
  readonly healthy: boolean;
  readonly disks: readonly CheckedDisk[];
}

/**
 * Walks the backing chain of each image. Writes nothing.
 *
 * @param imageNames the active image of each disk
 */
export async function checkCheckpoints(
  imageNames: readonly string[],
  options: CheckOptions = {},
): Promise<CheckResult> {
  const records = await readRecords(options, imageNames.length, options);
  const chains: Chain[] = [];
  try {
    for (const name of imageNames) {
      const chain = await openChain(parseReference(name, undefined), {
        mode: 'read',
        locking: lockingOf(options),
        bitmaps: 'lenient',
        onWarning: options.onWarning,
      });
      chains.push(chain);
    }
    return await checkChains(
      chains.map((chain) => ({ chain, examine: examineChainImage })),
      records,
      options,
    );
  } finally {
    await Promise.all(chains.map((chain) => chain.close()));
  }
}

export async function checkChains(
  chains: readonly ChainToCheck[],
  records: CheckpointRecords | undefined,
  options: OperationOptions,
): Promise<CheckResult> {
  const examined: ExaminedDisk[] = [];
  for (const each of chains) examined.push(await examineDisk(each));
  const known = await records?.of(examined.map(({ images }) => images));
  // Without XML, a checkpoint of one disk counts as a checkpoint of all disks.
  const names =
    known === undefined && examined.length > 1 ? checkpointNamesOf(examined.map(({ images }) => images)) : [];
  let disks: CheckedDisk[] = [];
  for (const [index, disk] of examined.entries())
    disks.push(await checkDisk(disk, known?.[index], names, options));
  disks = withUnitedAdvice(disks, known !== undefined);
  const onFile = new Set((known ?? []).flat().map(({ name }) => name));
  const interrupted = await findInterrupted(
    examined.map(({ images }) => images),
    onFile,
  );
  for (const each of interrupted) disks = withInterrupted(disks, each);
  const healthy = disks.every(
    ({ images, checkpoints }) =>
      checkpoints.every(({ valid }) => valid !== false) &&
      images.every(({ problems }) => problems.every(({ severity }) => severity === 'note')),
  );
  return { schema: 1, healthy, disks };
}

/** Unites the advice: one call repairs as many disks and checkpoints as possible. */
function withUnitedAdvice(disks: readonly CheckedDisk[], isOnFile: boolean): CheckedDisk[] {
  const needOf = new Map<CheckedCheckpoint, Need>();
  for (const { image, checkpoints } of disks) {
    for (const each of checkpoints) {
      const { name, advice: call } = each;
      if (call !== null) needOf.set(each, { image, name, call });
    }
  }
  const images = disks.map(({ image }) => image);
  const united = uniteAdvice([...needOf.values()], images, isOnFile);
  return disks.map((disk) => ({
    ...disk,
    checkpoints: disk.checkpoints.map((each) => ({
      ...each,
      advice: united.get(needOf.get(each)!) ?? null,
    })),
  }));
}
