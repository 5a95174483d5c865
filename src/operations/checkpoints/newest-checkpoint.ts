/**
 * Finds the newest checkpoint that several disks have in common.
 */
import { countMissingMarks, type DirtyBitmap, dirtyBytes, resample } from '../../bitmap/dirty-bitmap.ts';
import { type ChainImage, lowestHolder, namesOf, stateIn } from '../../checkpoint/chain/chain-images.ts';
import { uniteBitmaps } from '../../checkpoint/chain/united-bitmap.ts';
import { isCheckpointName, isTemporaryName } from '../../checkpoint/names.ts';
import { judge } from '../../checkpoint/verdict/verdict.ts';
import { UsageError } from '../../errors.ts';

/**
 * Without files, the marks show the order of the checkpoints: an older one marks everything that a newer one
 * marks. If several mark the same, the last one in the directory is the newest, since new bitmaps are added
 * at its end.
 *
 * @param disks the images of each disk's chain, top first
 * @param known names of the checkpoints on file, newest last; undefined if there is no file
 * @returns undefined if the disks have no valid checkpoint in common
 * @throws UsageError when the marks do not show the order
 */
export async function newestCheckpoint(
  disks: readonly (readonly ChainImage[])[],
  known: readonly string[] | undefined,
): Promise<string | undefined> {
  const common = namesInOrder(disks[0]!).filter((name) => disks.every((images) => isAccepted(images, name)));
  if (known !== undefined) return known.findLast((name) => common.includes(name));
  if (common.length < 2) return common[0];
  let newest = { name: '', markedBytes: Number.POSITIVE_INFINITY };
  for (const name of common) {
    let markedBytes = 0;
    for (const images of disks) markedBytes += dirtyBytes(await marksOf(images, name));
    if (markedBytes <= newest.markedBytes) newest = { name, markedBytes };
  }
  for (const images of disks) {
    const marks = await marksOf(images, newest.name);
    for (const name of common) {
      if (!covers(await marksOf(images, name), marks)) throw unclear(images, newest.name, name);
    }
  }
  return newest.name;
}

/** The checkpoint names of the top image, in directory order. */
function namesInOrder(images: readonly ChainImage[]): string[] {
  return namesOf(images.slice(0, 1)).filter((name) => isCheckpointName(name) && !isTemporaryName(name));
}

/** Whether libvirt accepts the checkpoint and the disks have one size. */
function isAccepted(images: readonly ChainImage[], name: string): boolean {
  const holdings = images.map((image) => ({
    image: image.layer.path,
    state: stateIn(image, name),
    virtualSizeBytes: image.layer.virtualSizeBytes,
    missingBytes: 0,
  }));
  return judge(name, holdings).problems.length === 0;
}

async function marksOf(images: readonly ChainImage[], name: string): Promise<DirtyBitmap> {
  const lowest = lowestHolder(images, name)!;
  return uniteBitmaps(images.slice(0, lowest + 1), name);
}

function covers(bitmap: DirtyBitmap, other: DirtyBitmap): boolean {
  const granularityBits = Math.max(bitmap.granularityBits, other.granularityBits);
  return countMissingMarks(resample(other, granularityBits), resample(bitmap, granularityBits)) === 0;
}

function unclear(images: readonly ChainImage[], one: string, other: string): UsageError {
  return new UsageError(
    `${images[0]!.layer.path}: neither of the checkpoints "${one}" and "${other}" marks all that the other does, so it is unknown which one is the newest and the parent`,
    { remedy: { kind: 'name-parent' } },
  );
}
