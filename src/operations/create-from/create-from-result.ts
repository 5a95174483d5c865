/**
 * The options and the result of create-from.
 */
import type { ChangeOptions, PlanReport } from '../change-bitmaps.ts';
import type { TargetOptions } from './choose-targets.ts';
import type { BitmapSource } from './sources.ts';

export interface CreateFromOptions extends ChangeOptions, TargetOptions {
  /** New bitmaps do not record further writes. */
  readonly disabled?: boolean | undefined;
  /** Path of a new overlay of this image that gets the bitmaps instead. This image is then only read. */
  readonly into?: string | undefined;
}

export interface CreatedBitmap {
  readonly name: string;
  readonly action: 'created' | 'merged' | 'replaced' | 'unchanged';
  readonly granularity: number;
  readonly enabled: boolean;
  /** Bytes of the disk that it marks now. */
  readonly dirtyBytes: number;
}

/** An existing bitmap of the image that was not changed. */
export interface KeptBitmap {
  readonly name: string;
  /** Bytes that the source marks and the bitmap does not; null when its content cannot be trusted. */
  readonly missingBytes: number | null;
}

export interface CreateFromResult {
  readonly schema: 1;
  readonly image: string;
  /** The new overlay that has the bitmaps; null if the image itself has them. */
  readonly into: string | null;
  readonly source: BitmapSource['kind'];
  readonly virtualSize: number;
  /** Size of the image file or device before the change, in bytes; 0 for a new file. */
  readonly endOffset: number;
  /** The backing image whose bitmaps were the model, when no name was given and there was one. */
  readonly inheritedFrom: string | null;
  readonly bitmaps: readonly CreatedBitmap[];
  readonly kept: readonly KeptBitmap[];
  /** Images below this one that the compared disk is also read through. Writes to them are not compared. */
  readonly sharedImages: readonly string[];
  readonly dryRun: boolean;
  /** null when nothing had to be written. */
  readonly plan: PlanReport | null;
}
