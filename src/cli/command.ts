/**
 * A command as data: what the parser, help, completion and the man page are made from.
 */
import type { Remedy } from '../remedy.ts';
import type { Invoke } from './invocation.ts';
import type { ArgumentDefinition, OptionDefinition } from './option.ts';

/** 0: done, or checked and healthy. 3: problems were found, or left. */
type Outcome = 0 | 3;

/** What a running command is given. */
export interface Surroundings {
  readonly invoke: Invoke;
  /** Words a remedy for this command. */
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
  /** Used in its own help, if it is longer than the summary. */
  readonly description?: string;
  /** Usage in its own words, where it is not "[options] <arguments>". */
  readonly usage?: string;
  readonly arguments: readonly ArgumentDefinition[];
  readonly options: readonly OptionDefinition[];
  /** Calls that its help and the man page show. */
  readonly examples: readonly string[];
  /** Text of its help after the examples. */
  readonly notes?: string;
  /**
   * Set where the arguments are not parsed by the rules of the other commands: `run` gets them as they are, and every error
   * has this exit code.
   */
  readonly rawArguments?: { readonly errorExitCode: number };
  /** Carries the command out and prints its result. */
  run(args: Args, flags: Flags, surroundings: Surroundings): Promise<Outcome>;
}

/** A command before it is loaded. */
export interface CommandEntry {
  readonly name: string;
  /** In the list of commands. */
  readonly summary: string;
  readonly load: () => Promise<CommandDefinition>;
}

export interface LoadedCommand extends CommandEntry {
  readonly definition: CommandDefinition;
}
