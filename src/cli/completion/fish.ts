/**
 * Completion for fish.
 */
import type { CommandNode, OptionNode, ProgramTree } from '../command-tree.ts';
import type { Completes } from '../option.ts';

export function fishCompletion(tree: ProgramTree): string {
  const lines = [
    ...tree.options.map((option) => optionLine(option, '__fish_use_subcommand')),
    ...tree.commands.map(
      ({ name, description }) => `-f -n __fish_use_subcommand -a ${quoted(name)} -d ${quoted(description)}`,
    ),
    ...tree.commands.flatMap((command) => {
      const when = `__fish_seen_subcommand_from ${command.name}`;
      return [
        ...command.options.map((option) => optionLine(option, when)),
        ...argumentLines(command).map((line) => `-n ${quoted(when)} ${line}`),
      ];
    }),
  ];
  return `# fish completion for bitmap-tool. Load it with: bitmap-tool completion fish | source

# Names of the bitmaps of the first word that is a file.
function __bitmap_tool_bitmaps
    for word in (commandline -opc)[2..]
        set word (string replace -r '^~/' "$HOME/" -- $word)
        if test -e $word
            bitmap-tool list --json --force-share -- $word 2>/dev/null | string match -rg '^ *"name": "([^"\\\\\\\\]*)",?$'
            return
        end
    end
end

${lines.map((line) => `complete -c bitmap-tool ${line}`).join('\n')}
`;
}

function optionLine(option: OptionNode, when: string): string {
  const names = option.names.map((name) =>
    name.startsWith('--') ? `-l ${quoted(name.slice(2))}` : `-s ${quoted(name.slice(1))}`,
  );
  const value = option.value === undefined ? '' : ` -r ${valueWords(option.value.completes)}`;
  return `-n ${quoted(when)} ${names.join(' ')}${value} -d ${quoted(option.description)}`;
}

/** -f excludes files. */
function valueWords(completes: Completes): string {
  return completes.kind === 'file' ? '-F' : `-f ${candidates(completes)}`.trimEnd();
}

/**
 * fish offers files by itself. The script does not know which argument it completes, so files stay with
 * bitmaps.
 */
function argumentLines(command: CommandNode): string[] {
  return command.arguments
    .map(({ completes }) => completes)
    .filter(({ kind }) => kind === 'bitmap' || kind === 'choice')
    .map((completes) => (completes.kind === 'choice' ? valueWords(completes) : candidates(completes)));
}

function candidates(completes: Completes): string {
  switch (completes.kind) {
    case 'bitmap':
      return `-a ${quoted(`(__bitmap_tool_bitmaps)${completes.withAllocated ? ' "#ALLOCATED"' : ''}`)}`;
    case 'choice':
      return `-a ${quoted(completes.choices.join(' '))}`;
    case 'file':
    case 'free':
      return '';
  }
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
