/**
 * What create-from is asked for, and what it reports.
 */
import type { ChangeOptions, PlanReport } from '../change-bitmaps.ts';
import type { TargetOptions } from './choose-targets.ts';
import type { BitmapSource } from './sources.ts';

export interface CreateFromOptions extends ChangeOptions, TargetOptions {
  /** New bitmaps do not record further writes. */
  readonly disabled?: boolean | undefined;
  /** Path of a new image over this one that gets the bitmaps instead; this one is only read then. */
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

/** A bitmap that the image had already and that was left alone. */
export interface KeptBitmap {
  readonly name: string;
  /** Bytes that the source marks and the bitmap does not; null when its content cannot be trusted. */
  readonly missingBytes: number | null;
}

export interface CreateFromResult {
  readonly schema: 1;
  readonly image: string;
  /** The new image over it that has the bitmaps; null where it has them itself. */
  readonly into: string | null;
  readonly source: BitmapSource['kind'];
  readonly virtualSize: number;
  /** Size of the image file or device before, in bytes; 0 of one that is new. */
  readonly endOffset: number;
  /** The backing image whose bitmaps were the model, when no name was given and there was one. */
  readonly inheritedFrom: string | null;
  readonly bitmaps: readonly CreatedBitmap[];
  readonly kept: readonly KeptBitmap[];
  /** Images below this one that the compared disk is read through as well: writes to them are not compared. */
  readonly sharedImages: readonly string[];
  readonly dryRun: boolean;
  /** null when nothing had to be written. */
  readonly plan: PlanReport | null;
}
