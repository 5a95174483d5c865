/**
 * Completion for bash.
 */
import type { ProgramTree } from '../command-tree.ts';
import type { Completes } from '../option.ts';

export function bashCompletion(tree: ProgramTree): string {
  const all = [{ ...tree, name: '' }, ...tree.commands];
  const options = all.map(({ name, options }) => {
    const names = options.flatMap((option) => option.names);
    return `    ${quoted(name)}) options=${quoted(names.join(' '))} ;;`;
  });
  const values = all.flatMap((command) =>
    command.options.flatMap((option) => {
      if (option.value === undefined) return [];
      const patterns = option.names.map((name) => quoted(`${command.name} ${name}`));
      return [`    ${patterns.join(' | ')}) kind=${quoted(word(option.value.completes))} ;;`];
    }),
  );
  const positions = tree.commands.flatMap((command) =>
    command.arguments.map((argument, index) => {
      const pattern = `${quoted(`${command.name} `)}${argument.isVariadic ? '*' : index}`;
      return `    ${pattern}) kind=${quoted(word(argument.completes))} ;;`;
    }),
  );
  const commands = tree.commands.map(({ name }) => name).join(' ');
  return `# bash completion for bitmap-tool. Load it with: source <(bitmap-tool completion bash)

# Sets kind to what the value of option $2 of command $1 is; to nothing where it takes none.
_bitmap_tool_option() {
  kind=
  case "$1 $2" in
${values.join('\n')}
  esac
}

# Sets kind to what the argument number $2 of command $1 is.
_bitmap_tool_argument() {
  kind=free
  case "$1 $2" in
${positions.join('\n')}
  esac
}

# Offers the words after $1 that begin with it, quoted: names of bitmaps may hold anything.
_bitmap_tool_offer() {
  local start=$1 word
  shift
  for word; do
    [[ $word == "$start"* ]] && COMPREPLY+=("$(printf %q "$word")")
  done
}

# Offers the names of the bitmaps of image $2 that begin with $1.
_bitmap_tool_bitmaps() {
  local image=\${2//[\\\\\\'\\"]/} line
  local -a names=()
  image=\${image/#\\~\\//$HOME/}
  [[ -n $image ]] || return 0
  while IFS= read -r line; do
    names+=("$line")
  done < <(bitmap-tool list --json --force-share -- "$image" 2>/dev/null |
    sed -n 's/^ *"name": "\\([^"\\\\]*\\)",\\{0,1\\}$/\\1/p')
  _bitmap_tool_offer "$1" "\${names[@]}"
}

_bitmap_tool() {
  local cur=\${COMP_WORDS[COMP_CWORD]} command= option= from= kind= options= word plain= i
  local -a positionals=()
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $option ]]; then
      [[ $word == = ]] && continue
      [[ $option == --from ]] && from=$word
      option=
    elif [[ -z $plain && $word == -- ]]; then
      plain=1
    elif [[ -z $plain && $word == -* ]]; then
      _bitmap_tool_option "$command" "$word"
      [[ -n $kind ]] && option=$word
    elif [[ -z $command ]]; then
      command=$word
    else
      positionals+=("$word")
    fi
  done
  [[ $cur == = ]] && cur=
  if [[ -n $option ]]; then
    _bitmap_tool_option "$command" "$option"
  elif [[ -z $plain && $cur == -* ]]; then
    case "$command" in
${options.map((line) => `  ${line}`).join('\n')}
    esac
    kind="choice $options"
  elif [[ -z $command ]]; then
    kind=${quoted(`choice ${commands}`)}
  else
    _bitmap_tool_argument "$command" "\${#positionals[@]}"
  fi
  case "$kind" in
    file)
      compopt -o filenames 2>/dev/null
      while IFS= read -r word; do
        COMPREPLY+=("$word")
      done < <(compgen -f -- "$cur")
      ;;
    bitmap*)
      [[ $kind == 'bitmap #ALLOCATED' ]] && _bitmap_tool_offer "\${cur//\\\\/}" '#ALLOCATED'
      _bitmap_tool_bitmaps "\${cur//\\\\/}" "\${from:-\${positionals[0]}}"
      ;;
    choice*) _bitmap_tool_offer "$cur" \${kind#choice } ;;
  esac
}

complete -F _bitmap_tool bitmap-tool
`;
}

function word(completes: Completes): string {
  switch (completes.kind) {
    case 'choice':
      return `choice ${completes.choices.join(' ')}`;
    case 'bitmap':
      return completes.withAllocated ? 'bitmap #ALLOCATED' : 'bitmap';
    default:
      return completes.kind;
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
