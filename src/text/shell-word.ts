/**
 * Words of a shell command: quotes names for a command that a person may paste, and takes a command apart.
 */
import { isPrintable } from './printable.ts';

/**
 * The name, in single quotes where a shell needs them. For characters that are not safe for a terminal, the
 * quotes are those of bash: $'…'.
 */
export function shellWord(name: string): string {
  if (!isPrintable(name)) return `$'${escaped(name)}'`;
  return /^[\w@%+=:,./-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`;
}

/** The escapes in $'…' stand for bytes. */
function escaped(name: string): string {
  return Array.from(name, (character) => {
    if (character === "'" || character === '\\') return `\\${character}`;
    if (isPrintable(character)) return character;
    const bytes = Array.from(new TextEncoder().encode(character));
    return bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  }).join('');
}

/** The path of an image, quoted. A path that looks like an option or a protocol gets ./ before it. */
export function shellPath(path: string): string {
  return shellWord(/^-|^[^/]*:/.test(path) ? `./${path}` : path);
}

/** The words of a command line without variables, comments and double quotes. */
export function parseShellWords(line: string): string[] {
  const words = line.match(/(?:[^\s'\\]|'[^']*'|\\.)+/gs) ?? [];
  return words.map((word) => word.replace(/'([^']*)'|\\(.)/gs, '$1$2'));
}
