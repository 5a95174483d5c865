/**
 * The rules about stored bitmaps by which QEMU refuses a whole image, by name.
 */
import { FormatError } from './format-error.ts';

export type BitmapRule =
  | 'extension-length'
  | 'extension-reserved'
  | 'extension-count'
  | 'directory-offset'
  | 'directory-size'
  | 'directory-beyond-end'
  | 'directory-count'
  | 'entry-cut-off'
  | 'entry-extra-data'
  | 'entry-flags'
  | 'entry-type'
  | 'entry-granularity'
  | 'entry-name-size'
  | 'entry-table-offset'
  | 'entry-table-size'
  | 'entry-table-mismatch'
  | 'duplicate-name';

/** A rule that stored bytes break, and how. */
export interface Violation {
  readonly rule: BitmapRule;
  /** Where, what was found, what is allowed. */
  readonly message: string;
}

/** For bitmaps because of which QEMU refuses the whole image. */
export function refusal({ message }: Violation): FormatError {
  return new FormatError(message, { remedy: (file) => ({ kind: 'repair-directory', file, opens: true }) });
}
