/**
 * Finds checkpoints whose creation was cut short: some disks have the bitmap, and the others do not.
 */
import { dirtyBytes } from '../../bitmap/dirty-bitmap.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import { type ChainImage, stateIn } from '../../checkpoint/chain/chain-images.ts';
import { isCheckpointName, isTemporaryName } from '../../checkpoint/names.ts';

export interface InterruptedCheckpoint {
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
