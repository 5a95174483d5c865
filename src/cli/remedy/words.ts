/**
 * The text of remedies. It refers to the options of the called command, or names another command that has
 * them.
 */

/** The command that a person called. */
export interface CommandAtHand {
  /** For example `create-from`; undefined before the arguments name one. */
  readonly name: string | undefined;
  /** Whether the command has an option, for example `--name`. */
  has(option: string): boolean;
  /** The words with which the call gives these options, quoted for a shell. Other options have none. */
  words(...options: string[]): readonly string[];
  /** The active images of the disks that the call names, quoted for a shell. */
  readonly images: readonly string[];
}

/**
 * One or more sentences for each kind of remedy. Program calls are in double quotes, or at the end after a
 * colon.
 */
export type Words<R extends { readonly kind: string }> = {
  readonly [K in R['kind']]: (remedy: Extract<R, { readonly kind: K }>, command: CommandAtHand) => string;
};
