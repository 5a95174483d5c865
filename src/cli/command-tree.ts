/**
 * The command tree as plain data: what completion scripts and the man page are made from.
 */
import type { Argument, Command, Option } from 'commander';

export interface CommandNode {
  readonly name: string;
  readonly description: string;
  /** Usage in its own words, where it is not "[options] <arguments>". */
  readonly usage: string;
  readonly arguments: readonly ArgumentNode[];
  readonly options: readonly OptionNode[];
  /** Lines that its help shows as examples. */
  readonly examples: readonly string[];
  readonly commands: readonly CommandNode[];
}

export interface ArgumentNode {
  readonly name: string;
  readonly description: string;
  readonly isRequired: boolean;
  readonly isVariadic: boolean;
  readonly choices: readonly string[];
}

export interface OptionNode {
  /** For example `-g` and `--granularity`. */
  readonly names: readonly string[];
  readonly description: string;
  /** For example `size`; undefined where it takes none. */
  readonly valueName: string | undefined;
  readonly choices: readonly string[];
  readonly defaultValue: string | undefined;
}

export function commandTree(command: Command): CommandNode {
  const help = command.createHelp();
  return {
    name: command.name(),
    description: command.description(),
    usage: command.usage(),
    arguments: command.registeredArguments.map(argumentNode),
    // With --help and --version.
    options: help.visibleOptions(command).map(optionNode),
    examples: examplesOf(command),
    commands: command.commands.map(commandTree),
  };
}

/** Options that most commands have, alike. */
export function commonOptions({ commands }: CommandNode): OptionNode[] {
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

function keyOf({ names, description }: OptionNode): string {
  return `${names.join()} ${description}`;
}

function argumentNode(argument: Argument): ArgumentNode {
  return {
    name: argument.name(),
    description: argument.description,
    isRequired: argument.required,
    isVariadic: argument.variadic,
    choices: argument.argChoices ?? [],
  };
}

function optionNode(option: Option): OptionNode {
  const { short, long, flags, description, argChoices, defaultValue } = option;
  return {
    names: [short, long].filter((name) => name !== undefined && name !== null),
    description,
    valueName: /[<[]([^\]>]+)[\]>]/.exec(flags)?.[1],
    choices: argChoices ?? [],
    defaultValue: typeof defaultValue === 'string' ? defaultValue : undefined,
  };
}

/** The lines of its help that are commands. */
function examplesOf(command: Command): string[] {
  let text = '';
  const output = command.configureOutput();
  command.configureOutput({ ...output, writeOut: (part) => (text += part) }).outputHelp();
  command.configureOutput(output);
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => /^(\S+ .*\| )?bitmap-tool /.test(line));
}
