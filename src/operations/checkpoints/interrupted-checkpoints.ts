/**
 * Finds and reports checkpoints whose creation was interrupted: some disks have the bitmap, and others do
 * not.
 */
import { dirtyBytes } from '../../bitmap/dirty-bitmap.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import { type ChainImage, stateIn } from '../../checkpoint/chain/chain-images.ts';
import { isCheckpointName, isTemporaryName } from '../../checkpoint/names.ts';
import type { Problem } from '../../inspection/problem.ts';
import type { RepairCall } from '../../remedy.ts';
import type { CheckedDisk, CheckedImage } from './check-disk.ts';

interface InterruptedCheckpoint {
  readonly name: string;
  /** Indexes of the disks that have it. */
  readonly holders: readonly number[];
}

/**
 * Finds bitmaps without marks that only active images have. After a guest has written, the images no longer
 * show that the checkpoint was meant for all disks.
 *
 * @param disks the images of each disk's chain, top first
 * @param known names of checkpoints on file, which are complete
 */
export async function findInterrupted(
  disks: readonly (readonly ChainImage[])[],
  known: ReadonlySet<string>,
): Promise<InterruptedCheckpoint[]> {
  const names = new Set(disks.flatMap(([top]) => top!.present.map(({ name }) => name)));
  const found: InterruptedCheckpoint[] = [];
  for (const name of names) {
    if (known.has(name) || !isCheckpointName(name) || isTemporaryName(name)) continue;
    const holders = disks.flatMap((images, index) =>
      images.some(({ bitmaps }) => bitmaps.has(name)) ? [index] : [],
    );
    if (holders.length === disks.length) continue;
    let isFresh = true;
    for (const index of holders) isFresh &&= await hasFresh(disks[index]!, name);
    if (isFresh) found.push({ name, holders });
  }
  return found;
}

async function hasFresh([top, ...below]: readonly ChainImage[], name: string): Promise<boolean> {
  const { layer, bitmaps, running } = top!;
  // This check does not apply to a running guest.
  if (running !== undefined) return false;
  if (layer.format === 'raw' || stateIn(top!, name) !== 'good') return false;
  if (below.some((image) => image.bitmaps.has(name))) return false;
  return dirtyBytes(await readBitmap(layer.image, bitmaps.get(name)!)) === 0;
}

/**
 * Adds the problem to every disk that has the bitmap, and adds the advice to complete the checkpoint on the
 * other disks.
 */
export function withInterrupted(
  disks: readonly CheckedDisk[],
  { name, holders }: InterruptedCheckpoint,
): CheckedDisk[] {
  const paths = (chosen: readonly CheckedDisk[]) => chosen.map(({ image }) => image);
  const lacking = paths(disks.filter((_, index) => !holders.includes(index)));
  const images = paths(disks);
  const advice: RepairCall = { kind: 'create-checkpoint', name, images };
  return disks.map((disk, index) => {
    if (!holders.includes(index)) {
      const checkpoints = disk.checkpoints.map((each) => (each.name === name ? { ...each, advice } : each));
      return { ...disk, checkpoints };
    }
    const problem: Problem = {
      code: 'checkpoint-interrupted',
      severity: 'warning',
      bitmap: name,
      message: `bitmap "${name}" has recorded nothing, and is missing in ${lacking.join(', ')}: the creation of a checkpoint was interrupted, or the checkpoint is only of this disk`,
      remedy: { kind: 'complete-or-remove-checkpoint', name, images, file: disk.image },
      unopenable: false,
    };
    const [top, ...below] = disk.images as [CheckedImage, ...CheckedImage[]];
    return { ...disk, images: [{ ...top, problems: [...top.problems, problem] }, ...below] };
  });
}
