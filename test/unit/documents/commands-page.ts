/** docs/commands.md, from the command tree. */
import {
  type ArgumentNode,
  type CommandNode,
  choicesOf,
  commonOptions,
  isSameOption,
  type OptionNode,
  type ProgramTree,
} from '../../../src/cli/command-tree.ts';

export function commandsPage(tree: ProgramTree): string {
  const common = commonOptions(tree);
  const isCommon = (option: OptionNode) => common.some((each) => isSameOption(each, option));
  return `# Commands

This page is generated from the program: \`npm run docs\` writes it. \`bitmap-tool COMMAND --help\` shows the same.

${tree.commands.map(({ name, description }) => `- [\`${name}\`](#${name}): ${text(description)}`).join('\n')}

## Common options

Most commands take these options.

${optionTable(common)}

${tree.commands.map((command) => section(tree.name, command, isCommon)).join('\n')}`;
}

function section(program: string, command: CommandNode, isCommon: (option: OptionNode) => boolean): string {
  const own = command.options.filter((option) => !isCommon(option));
  const places = command.arguments.map(place);
  return [
    `## ${command.name}\n`,
    `    ${[program, command.name, ...(command.options.length > 0 ? ['[options]'] : []), ...places].join(' ')}\n`,
    `${sentence(text(command.description))}\n`,
    ...command.arguments
      .filter(({ description }) => description !== '')
      .map(({ name, description }) => `- \`${name}\`: ${text(description)}\n`),
    ...(own.length === 0 ? [] : [`${optionTable(own)}\n`]),
    ...(command.examples.length === 0 ? [] : [`Examples:\n\n    ${command.examples.join('\n    ')}\n`]),
  ].join('\n');
}

function place({ name, isRequired, isVariadic }: ArgumentNode): string {
  const full = isVariadic ? `${name}...` : name;
  return isRequired ? `<${full}>` : `[${full}]`;
}

function optionTable(options: readonly OptionNode[]): string {
  const rows = options.map((option) => {
    const { names, value, description, defaultValue } = option;
    const choices = choicesOf(option);
    const valueName = value === undefined ? '' : ` <${value.name}>`;
    const allowed = choices.length > 0 ? `; one of ${choices.join(', ')}` : '';
    const standard = defaultValue === undefined ? '' : `; default: ${defaultValue}`;
    return `| \`${names.join(', ')}${valueName}\` | ${text(description)}${allowed}${standard} |`;
  });
  return `| option | meaning |\n| --- | --- |\n${rows.join('\n')}`.replaceAll(/`[^`\n]*`/g, (code) =>
    code.replaceAll('|', '\\|'),
  );
}

function text(description: string): string {
  return description.replaceAll(/[<>*_|]/g, '\\$&');
}

function sentence(description: string): string {
  return `${description[0]!.toUpperCase()}${description.slice(1)}${/[.!?…]$/.test(description) ? '' : '.'}`;
}
