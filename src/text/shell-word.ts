/**
 * Words of a shell command: quotes names for a command that a person may paste, and takes a command apart.
 */

/** The name, in single quotes where a shell needs them. */
export function shellWord(name: string): string {
  return /^[\w@%+=:,./-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`;
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
