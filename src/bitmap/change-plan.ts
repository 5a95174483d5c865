/**
 * Plans another set of bitmaps for an image whose tables have been scanned.
 */
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import type { HostClusters } from '../image/host-clusters.ts';
import type { Image } from '../image/image.ts';
import type { L2Reading } from '../image/l2-tables.ts';
import type { Plan } from '../image/plan.ts';
import { readRefcountTable } from '../image/refcounts.ts';
import { addMetadata } from '../image/references.ts';
import { type BitmapChange, planBitmapChange } from './store-plan.ts';

export interface ScannedImage {
  readonly image: Image;
  readonly present: readonly BitmapDirectoryEntry[];
  /** Of the active L1 table. */
  readonly l2Offsets: Float64Array;
  /** Every cluster that the active L2 tables name; gets all else that the image has. */
  readonly referenced: HostClusters;
}

export async function planChange(
  { image, present, l2Offsets, referenced }: ScannedImage,
  wanted: BitmapChange['wanted'],
  reading: L2Reading,
): Promise<Plan> {
  const refcounts = await readRefcountTable(image);
  await addMetadata(image, referenced, refcounts, l2Offsets, reading);
  return planBitmapChange(image, referenced, refcounts, { present, wanted });
}
