/**
 * Generates the man page from the command tree.
 */
import {
  type ArgumentNode,
  type CommandNode,
  choicesOf,
  commonOptions,
  isSameOption,
  type OptionNode,
  type ProgramTree,
} from '../command-tree.ts';
import { EXIT_STATUS, FILES, INTRODUCTION, LOCKS, SEE_ALSO, WHEN_RIGHT } from './notes.ts';
import { bold, italic, item, literal, paragraphs, quoted, roff, section } from './roff.ts';

export function manPage(tree: ProgramTree, version: string): string {
  const common = commonOptions(tree);
  const isCommon = (option: OptionNode) => common.some((each) => isSameOption(each, option));
  const examples = new Set([tree, ...tree.commands].flatMap((command) => command.examples));
  return `${[
    `.TH ${quoted(tree.name.toUpperCase())} 1 "" ${quoted(`${tree.name} ${version}`)} "User Commands"`,
    section('Name', `${roff(tree.name)} \\- ${roff(lowerFirst(tree.description).replace(/\.$/, ''))}`),
    section('Synopsis', ...tree.commands.map((command) => synopsis(tree.name, command))),
    section('Description', paragraphs(...INTRODUCTION)),
    section('Commands', ...tree.commands.map((command) => commandText(command, isCommon))),
    section(
      'Common options',
      roff('Commands that read or write images take these too.'),
      ...common.map(optionItem),
    ),
    section('Global options', ...tree.options.filter((option) => !isCommon(option)).map(optionItem)),
    section('Exit status', ...EXIT_STATUS.map(([code, meaning]) => item(bold(code), meaning))),
    section('Files', ...FILES.map(([name, text]) => item(italic(name), text))),
    section(
      'Notes',
      '.SS Locks',
      paragraphs(...LOCKS),
      '.SS When the result is right',
      paragraphs(...WHEN_RIGHT),
    ),
    section('Examples', literal(Array.from(examples))),
    section('See also', SEE_ALSO.map((name) => `\\fB${roff(name)}\\fR(1)`).join(',\n')),
  ].join('\n')}\n`;
}

function synopsis(program: string, command: CommandNode): string {
  const place = (argument: ArgumentNode) => {
    const name = `${italic(argument.name)}${argument.isVariadic ? roff('...') : ''}`;
    return argument.isRequired ? name : `[${name}]`;
  };
  const takes = command.options.some(({ names }) => !names.includes('--help'))
    ? [`[${italic('options')}]`]
    : [];
  return `.br\n${[bold(`${program} ${command.name}`), ...takes, ...command.arguments.map(place)].join(' ')}`;
}

function commandText(command: CommandNode, isCommon: (option: OptionNode) => boolean): string {
  const own = command.options.filter((option) => !isCommon(option));
  return [
    `.SS ${quoted(command.name)}`,
    roff(sentence(command.description)),
    ...(command.usage === undefined ? [] : ['.PP', roff(command.usage)]),
    ...command.arguments
      .filter(({ description }) => description !== '')
      .map((argument) => item(italic(argument.name), sentence(argument.description))),
    ...own.map(optionItem),
  ].join('\n');
}

function optionItem(option: OptionNode): string {
  const { names, value, description, defaultValue } = option;
  const valueName = value === undefined ? '' : ` ${italic(value.name)}`;
  const term = `${names.map((name) => bold(name)).join(', ')}${valueName}`;
  const choices = choicesOf(option);
  const allowed = choices.length > 0 ? ` One of ${choices.join(', ')}.` : '';
  const standard = defaultValue === undefined ? '' : ` Default: ${defaultValue}.`;
  return item(term, `${sentence(description)}${allowed}${standard}`);
}

function sentence(text: string): string {
  const full = /[.!?…]$/.test(text) ? text : `${text}.`;
  // A name like qcow2 keeps its lower case.
  if (/^\w*\d/.test(full)) return full;
  return `${full[0]!.toUpperCase()}${full.slice(1)}`;
}

function lowerFirst(text: string): string {
  return `${text[0]!.toLowerCase()}${text.slice(1)}`;
}
