/**
 * Options and arguments as data.
 */

/** The kind of value that an argument or option takes. Shell completion uses it. */
export type Completes =
  | { readonly kind: 'file' }
  /** Names of the bitmaps in an image. */
  | { readonly kind: 'bitmap'; readonly withAllocated: boolean }
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  | { readonly kind: 'free' };

export const FILE: Completes = { kind: 'file' };
export const FREE: Completes = { kind: 'free' };
export const STORED_BITMAP: Completes = { kind: 'bitmap', withAllocated: false };
export const READABLE_BITMAP: Completes = { kind: 'bitmap', withAllocated: true };

export interface ArgumentDefinition {
  /** The form in the usage line: `<image>`, or `[image...]` for zero or more images. */
  readonly usage: string;
  readonly description: string;
  readonly completes: Completes;
}

export interface OptionDefinition {
  /** The form in the help, for example `-g, --granularity <size>`. */
  readonly flags: string;
  readonly description: string;
  /** For options that take a value. */
  readonly completes?: Completes;
  /** The option can be repeated; each use adds a value. */
  readonly isRepeatable?: boolean;
  readonly isRequired?: boolean;
  readonly defaultValue?: string;
  /** @throws UsageError */
  readonly parse?: (text: string) => unknown;
}
