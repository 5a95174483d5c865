/**
 * The program as commander commands. Every command has a name and a summary. Loaded commands also have their
 * options and arguments.
 */
import { Argument, Command, Option } from 'commander';
import type { CommandEntry, LoadedCommand } from './command.ts';
import type { ArgumentDefinition, OptionDefinition } from './option.ts';
import { print } from './output.ts';
import { version } from './version.ts';

export const PROGRAM = {
  name: 'bitmap-tool',
  description: 'Create, show, change and verify the persistent dirty bitmaps of qcow2 images at rest.',
  examples: ['bitmap-tool create-from --allocated disk.qcow2'],
} as const;

/**
 * A parsed command line. `args` keeps the order of the arguments, and a variadic argument is an array.
 * `flags` has commander's names.
 */
export interface Call {
  readonly command: LoadedCommand;
  readonly args: readonly unknown[];
  readonly flags: object;
  showHelp(): void;
}

/** @param onCall runs the called command */
export function buildProgram(
  commands: readonly (CommandEntry | LoadedCommand)[],
  onCall: (call: Call) => Promise<void>,
): Command {
  const program = new Command(PROGRAM.name)
    .description(PROGRAM.description)
    .version(version)
    .showHelpAfterError(false)
    // Names with all arguments would leave no room for the summaries.
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText(
      'after',
      `
The main job, for an overlay that was made outside libvirt:
  ${PROGRAM.examples.join('\n  ')}

Exit codes: 0 done, 1 failed, 2 wrong command line, 3 problems found or left, 4 refused, 5 image in use, 129/130/143 interrupted.`,
    );
  for (const each of commands) program.addCommand(commandOf(each, onCall));
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      // runProgram() reports every error, in one format.
      outputError: () => {},
      // The help is short, so this keeps it until the output is closed.
      writeOut: (text) => void print(text),
    });
  }
  return program;
}

function commandOf(entry: CommandEntry | LoadedCommand, onCall: (call: Call) => Promise<void>): Command {
  const command = new Command(entry.name).summary(entry.summary);
  if (!('definition' in entry)) return command;
  const { description = entry.summary, usage, options, rawArguments, ...rest } = entry.definition;
  command.description(description).addHelpText('after', helpText(rest));
  if (usage !== undefined) command.usage(usage);
  for (const each of rest.arguments) command.addArgument(argumentOf(each));
  const shown = options.map(optionOf);
  if (rawArguments === undefined) for (const option of shown) command.addOption(option);
  else {
    command
      .helpOption(false)
      .allowExcessArguments()
      .allowUnknownOption()
      .configureHelp({ visibleOptions: () => shown });
  }
  return command.action(async () => {
    const { args, processedArgs } = command;
    await onCall({
      command: entry,
      args: rawArguments === undefined ? processedArgs : args,
      flags: command.opts(),
      showHelp: () => command.outputHelp(),
    });
  });
}

function helpText({ examples, notes }: { examples: readonly string[]; notes?: string }): string {
  const title = examples.length === 1 ? 'Example' : 'Examples';
  const lines = `\n${title}:\n${examples.map((example) => `  ${example}`).join('\n')}`;
  return notes === undefined ? lines : `${lines}\n\n${notes}`;
}

function argumentOf({ usage, description, completes }: ArgumentDefinition): Argument {
  const argument = new Argument(usage, description);
  return completes.kind === 'choice' ? argument.choices(completes.choices) : argument;
}

function optionOf(definition: OptionDefinition): Option {
  const { flags, description, completes, isRepeatable, isRequired, defaultValue, parse } = definition;
  const option = new Option(flags, description);
  if (isRepeatable) {
    option.argParser((value: string, values: unknown[] = []) => [...values, parse?.(value) ?? value]);
  } else if (parse !== undefined) option.argParser(parse);
  if (completes?.kind === 'choice') option.choices(completes.choices);
  if (isRequired) option.makeOptionMandatory();
  if (defaultValue !== undefined) option.default(defaultValue);
  return option;
}
