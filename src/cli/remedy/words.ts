/**
 * How remedies are worded: for the options that the command at hand has, or by naming another command that has them.
 */

/** The command that a person called. */
export interface CommandAtHand {
  /** For example `create-from`; undefined before the arguments name one. */
  readonly name: string | undefined;
  /** Whether it has an option, for example `--name`. */
  has(option: string): boolean;
}

/** For each kind of remedy, a sentence or more. Calls of programs stand in double quotes, or at the end after a colon. */
export type Words<R extends { readonly kind: string }> = {
  readonly [K in R['kind']]: (remedy: Extract<R, { readonly kind: K }>, command: CommandAtHand) => string;
};
