/**
 * Completion for zsh.
 */
import type { CommandNode, OptionNode } from '../command-tree.ts';
import { argumentKind, type Kind, optionKind } from './kinds.ts';

export function zshCompletion(tree: CommandNode): string {
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
  const kind = optionKind(option);
  const { names, description, valueName } = option;
  const text = description.replace(/[[\]\\:]/g, '\\$&');
  const value = kind === undefined ? '' : `:${(valueName ?? '').replaceAll(':', '\\:')}:${action(kind)}`;
  return names.map((name) => {
    const takes = kind === undefined ? '' : name.startsWith('--') ? '=' : '+';
    return quoted(`*${name}${takes}[${text}]${value}`);
  });
}

function argumentSpecs(command: CommandNode): string[] {
  return command.arguments.map((argument, index) => {
    const place = argument.isVariadic ? '*' : `${index + 1}`;
    return quoted(`${place}:${argument.name}:${action(argumentKind(argument, command))}`);
  });
}

function action(kind: Kind): string {
  switch (kind.kind) {
    case 'file':
      return '_files';
    case 'bitmap':
      return `{_bitmap_tool_bitmaps${kind.withAllocated ? ' "#ALLOCATED"' : ''}}`;
    case 'choice':
      return `(${kind.choices.join(' ')})`;
    case 'free':
      return '';
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
