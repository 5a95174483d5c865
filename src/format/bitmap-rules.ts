/**
 * The names of the rules for stored bitmaps. QEMU refuses a whole image that breaks one of them.
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

/** A rule that stored bytes break, with a message. */
export interface Violation {
  readonly rule: BitmapRule;
  /** The place, the stored value, and the allowed values. */
  readonly message: string;
}

/** The error for bitmaps that make QEMU refuse the whole image. */
export function refusal({ message }: Violation): FormatError {
  return new FormatError(message, { remedy: (file) => ({ kind: 'repair-directory', file, opens: true }) });
}
