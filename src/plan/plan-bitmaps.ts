/**
 * Plans another set of bitmaps for an image whose tables have been scanned.
 */

import type { HostClusters } from '../census/host-clusters.ts';
import { addMetadata } from '../census/metadata.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import type { Image } from '../image/image.ts';
import type { L2Reading } from '../image/read-l2-tables.ts';
import { readRefcountTable } from '../image/refcount-table.ts';
import type { Plan } from './plan.ts';
import { type BitmapChange, planBitmapChange } from './plan-directory.ts';

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
