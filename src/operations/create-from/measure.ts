/**
 * Measures the space that new bitmaps would need in an image, so that a volume can be extended beforehand.
 */
import { createFrom } from './create-from.ts';
import type { CreateFromOptions } from './create-from-result.ts';
import type { BitmapSource } from './sources.ts';

export interface MeasureResult {
  readonly schema: 1;
  readonly image: string;
  /** Names of the bitmaps that were measured. */
  readonly bitmaps: readonly string[];
  /** New clusters for them: data, tables and directory, and the refcount structures for these. */
  readonly clusters: number;
  /** Bytes of those clusters. */
  readonly requiredBytes: number;
  /** Size of the image file or device now, in bytes. */
  readonly endOffset: number;
  /** Minimum size for the bitmaps, in bytes. */
  readonly newEndOffset: number;
}

/** Takes the arguments of createFrom and returns exactly the space that it would use. Writes nothing. */
export async function measure(
  imageName: string,
  source: BitmapSource,
  options: CreateFromOptions = {},
): Promise<MeasureResult> {
  const { image, bitmaps, endOffset, plan } = await createFrom(imageName, source, {
    ...options,
    dryRun: true,
    ignoreDeviceEnd: true,
  });
  return {
    schema: 1,
    image,
    bitmaps: bitmaps.map(({ name }) => name),
    clusters: plan?.claimedClusters ?? 0,
    requiredBytes: plan?.claimedBytes ?? 0,
    endOffset,
    newEndOffset: plan?.newEndOffset ?? endOffset,
  };
}
