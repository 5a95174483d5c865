/**
 * Removes stored bitmaps; several go in one commit.
 */
import { scanL2Tables } from '../image/scan.ts';
import { type ChangeOptions, changeBitmaps, type PlanReport, withImageToChange } from './change-bitmaps.ts';
import { requireBitmap } from './dump-bitmap.ts';
import { tableReading } from './table-progress.ts';

export interface RemoveResult {
  readonly schema: 1;
  readonly image: string;
  readonly removed: readonly string[];
  readonly dryRun: boolean;
  readonly plan: PlanReport;
}

/** @throws RefusedError when one of the bitmaps does not exist; then none is removed */
export async function removeBitmaps(
  imageName: string,
  names: readonly string[],
  options: ChangeOptions = {},
): Promise<RemoveResult> {
  return withImageToChange(imageName, options, async (target) => {
    const { image, path, present, l2Offsets, referenced } = target;
    const removed = new Set(names.map((name) => requireBitmap(image, present, name).name));
    const reading = tableReading([target], options);
    await scanL2Tables(image, l2Offsets, referenced, undefined, reading);
    const wanted = present
      .filter((entry) => !removed.has(entry.name))
      .map((entry) => ({ kind: 'keep', entry }) as const);
    const plan = await changeBitmaps(target, wanted, options, reading);
    return {
      schema: 1,
      image: path,
      removed: [...removed],
      dryRun: options.dryRun === true,
      plan,
    };
  });
}
