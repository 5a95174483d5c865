/**
 * Quotes names for a command that a person may paste into a shell.
 */

/** The name, in single quotes where a shell needs them. */
export function shellWord(name: string): string {
  return /^[\w@%+=:,./-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`;
}

/** The path of an image, quoted. A path that looks like an option or a protocol gets ./ before it. */
export function shellPath(path: string): string {
  return shellWord(/^-|^[^/]*:/.test(path) ? `./${path}` : path);
}
