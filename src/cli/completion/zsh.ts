/**
 * Completion for zsh.
 */
import type { CommandNode, OptionNode, ProgramTree } from '../command-tree.ts';
import type { Completes } from '../option.ts';

export function zshCompletion(tree: ProgramTree): string {
  const commands = tree.commands.map(
    ({ name, description }) => `    ${quoted(`${name}:${description.replaceAll(':', '\\:')}`)}`,
  );
  const cases = tree.commands.map((command) => {
    const specs = [...command.options.flatMap(optionSpecs), ...argumentSpecs(command)];
    return `    ${command.name})\n      _arguments -s -S : \\\n${specs.map((spec) => `        ${spec}`).join(' \\\n')}\n      ;;`;
  });
  return `#compdef bitmap-tool
# zsh completion for bitmap-tool. Put it as _bitmap-tool into a folder of $fpath, or load it with:
#   source <(bitmap-tool completion zsh)

# Names of the bitmaps of the first word that is a file; $1 is one more that may stand there.
_bitmap_tool_bitmaps() {
  local word
  local -a names
  [[ -n $1 ]] && names+=("$1")
  for word in "\${(@Q)words[2,CURRENT-1]}"; do
    word=\${word/#\\~\\//$HOME/}
    if [[ -e $word ]]; then
      names+=("\${(@f)$(bitmap-tool list --json --force-share -- "$word" 2>/dev/null |
        sed -n 's/^ *"name": "\\([^"\\\\]*\\)",\\{0,1\\}$/\\1/p')}")
      break
    fi
  done
  compadd -a names
}

_bitmap-tool() {
  local curcontext=$curcontext state line
  local -a commands
  commands=(
${commands.join('\n')}
  )
  _arguments -C \\
${tree.options
  .flatMap(optionSpecs)
  .map((spec) => `    ${spec} \\`)
  .join('\n')}
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands; return ;;
    argument) ;;
    *) return ;;
  esac
  case $words[1] in
${cases.join('\n')}
  esac
}

if [[ $funcstack[1] == _bitmap-tool ]]; then
  _bitmap-tool "$@"
else
  compdef _bitmap-tool bitmap-tool
fi
`;
}

function optionSpecs(option: OptionNode): string[] {
  const { names, description, value } = option;
  const text = description.replace(/[[\]\\:]/g, '\\$&');
  const completion =
    value === undefined ? '' : `:${value.name.replaceAll(':', '\\:')}:${action(value.completes)}`;
  return names.map((name) => {
    const takes = value === undefined ? '' : name.startsWith('--') ? '=' : '+';
    return quoted(`*${name}${takes}[${text}]${completion}`);
  });
}

function argumentSpecs(command: CommandNode): string[] {
  return command.arguments.map((argument, index) => {
    const place = argument.isVariadic ? '*' : `${index + 1}`;
    return quoted(`${place}:${argument.name}:${action(argument.completes)}`);
  });
}

function action(completes: Completes): string {
  switch (completes.kind) {
    case 'file':
      return '_files';
    case 'bitmap':
      return `{_bitmap_tool_bitmaps${completes.withAllocated ? ' "#ALLOCATED"' : ''}}`;
    case 'choice':
      return `(${completes.choices.join(' ')})`;
    case 'free':
      return '';
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
