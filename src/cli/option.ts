/**
 * Options and arguments as data.
 */

/** What can stand in a place of the command line, so that a shell can complete it. */
export type Completes =
  | { readonly kind: 'file' }
  /** Names of the bitmaps of an image. */
  | { readonly kind: 'bitmap'; readonly withAllocated: boolean }
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  | { readonly kind: 'free' };

export const FILE: Completes = { kind: 'file' };
export const FREE: Completes = { kind: 'free' };
export const STORED_BITMAP: Completes = { kind: 'bitmap', withAllocated: false };
export const READABLE_BITMAP: Completes = { kind: 'bitmap', withAllocated: true };

export interface ArgumentDefinition {
  /** As usage shows it: `<image>`, or `[image...]` where there may be none or several. */
  readonly usage: string;
  readonly description: string;
  readonly completes: Completes;
}

export interface OptionDefinition {
  /** As help shows them, for example `-g, --granularity <size>`. */
  readonly flags: string;
  readonly description: string;
  /** For options that take a value. */
  readonly completes?: Completes;
  /** Each use adds a value. */
  readonly isRepeatable?: boolean;
  readonly isRequired?: boolean;
  readonly defaultValue?: string;
  /** @throws UsageError */
  readonly parse?: (text: string) => unknown;
}
