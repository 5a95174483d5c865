/**
 * All commands with parsed flags and arguments. Completion scripts and the man page are generated from them.
 */
import { Argument, Option } from 'commander';
import type { LoadedCommand } from './command.ts';
import type { ArgumentDefinition, Completes, OptionDefinition } from './option.ts';
import { PROGRAM } from './program.ts';

export interface ProgramTree {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionNode[];
  readonly examples: readonly string[];
  readonly commands: readonly CommandNode[];
}

export interface CommandNode {
  readonly name: string;
  readonly description: string;
  /** The usage line, if it differs from "[options] <arguments>". */
  readonly usage: string | undefined;
  readonly arguments: readonly ArgumentNode[];
  readonly options: readonly OptionNode[];
  readonly examples: readonly string[];
}

export interface ArgumentNode {
  readonly name: string;
  readonly description: string;
  readonly isRequired: boolean;
  readonly isVariadic: boolean;
  readonly completes: Completes;
}

export interface OptionNode {
  /** For example `-g` and `--granularity`. */
  readonly names: readonly string[];
  readonly description: string;
  /** The name and the kind of the value; undefined if the option takes no value. */
  readonly value: { readonly name: string; readonly completes: Completes } | undefined;
  readonly defaultValue: string | undefined;
}

const HELP: OptionDefinition = { flags: '-h, --help', description: 'display help for command' };
const VERSION: OptionDefinition = { flags: '-V, --version', description: 'output the version number' };

export function commandTree(commands: readonly LoadedCommand[]): ProgramTree {
  return {
    name: PROGRAM.name,
    description: PROGRAM.description,
    options: [VERSION, HELP].map(optionNode),
    examples: PROGRAM.examples,
    commands: commands.map(commandNode),
  };
}

/** Options that more than half of the commands have, with the same names and description. */
export function commonOptions({ commands }: ProgramTree): OptionNode[] {
  const counts = new Map<string, { option: OptionNode; count: number }>();
  for (const option of commands.flatMap(({ options }) => options)) {
    const key = keyOf(option);
    counts.set(key, { option, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return Array.from(counts.values())
    .filter(({ count }) => count > commands.length / 2)
    .map(({ option }) => option);
}

export function isSameOption(a: OptionNode, b: OptionNode): boolean {
  return keyOf(a) === keyOf(b);
}

/** The allowed values, or an empty list if the option has no fixed choices. */
export function choicesOf({ value }: OptionNode): readonly string[] {
  return value?.completes.kind === 'choice' ? value.completes.choices : [];
}

function keyOf({ names, description }: OptionNode): string {
  return `${names.join()} ${description}`;
}

function commandNode({ name, summary, definition }: LoadedCommand): CommandNode {
  const { description = summary, usage, options, rawArguments, examples } = definition;
  // A command that parses its arguments itself also declares --help itself.
  const help = rawArguments === undefined ? [HELP] : [];
  return {
    name,
    description,
    usage,
    arguments: definition.arguments.map(argumentNode),
    options: [...options, ...help].map(optionNode),
    examples,
  };
}

function argumentNode({ usage, description, completes }: ArgumentDefinition): ArgumentNode {
  const argument = new Argument(usage);
  return {
    name: argument.name(),
    description,
    isRequired: argument.required,
    isVariadic: argument.variadic,
    completes,
  };
}

function optionNode({ flags, description, completes, defaultValue }: OptionDefinition): OptionNode {
  const { short, long } = new Option(flags);
  const valueName = /[<[]([^\]>]+)[\]>]/.exec(flags)?.[1];
  return {
    names: [short, long].filter((name) => name !== undefined && name !== null),
    description,
    value:
      valueName === undefined ? undefined : { name: valueName, completes: completes ?? { kind: 'free' } },
    defaultValue,
  };
}
