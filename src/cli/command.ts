/**
 * A command as data. The parser, the help, completion and the man page are generated from it.
 */
import type { Remedy } from '../remedy.ts';
import type { Invoke } from './invocation.ts';
import type { ArgumentDefinition, OptionDefinition } from './option.ts';

/** 0: the command succeeded and found no problems. 3: it found problems or left some. */
type Outcome = 0 | 3;

/** The services that a running command can use. */
export interface Surroundings {
  readonly invoke: Invoke;
  /** Returns the text of a remedy for this command. */
  hintFor(remedy: Remedy): string;
  /** Prints the help of the command. */
  showHelp(): void;
  /** Loads all commands. */
  allCommands(): Promise<LoadedCommand[]>;
}

export interface CommandDefinition<
  Args extends readonly unknown[] = readonly unknown[],
  Flags extends object = object,
> {
  /** A longer text than the summary, for the help of the command and the man page. */
  readonly description?: string;
  /** The usage line, if it differs from "[options] <arguments>". */
  readonly usage?: string;
  readonly arguments: readonly ArgumentDefinition[];
  readonly options: readonly OptionDefinition[];
  /** Example calls in the help and the man page. */
  readonly examples: readonly string[];
  /** Text after the examples in the help. */
  readonly notes?: string;
  /**
   * Set if the command parses its arguments itself. `run` then gets the raw arguments, and every error except
   * a bug has this exit code.
   */
  readonly rawArguments?: { readonly errorExitCode: number };
  /** Runs the command and prints its result. */
  run(args: Args, flags: Flags, surroundings: Surroundings): Promise<Outcome>;
}

/** A command that is not loaded yet. */
export interface CommandEntry {
  readonly name: string;
  /** Shown in the list of commands. */
  readonly summary: string;
  readonly load: () => Promise<CommandDefinition>;
}

export interface LoadedCommand extends CommandEntry {
  readonly definition: CommandDefinition;
}
