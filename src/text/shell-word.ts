/**
 * Names made fit for a command that a person may paste into a shell.
 */

/** The name as it is where a shell takes it so, in single quotes otherwise. */
export function shellWord(name: string): string {
  return /^[\w@%+=:,./-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`;
}

/** The same of the path of an image: one that begins as an option or a protocol does is taken for that otherwise. */
export function shellPath(path: string): string {
  return shellWord(/^-|^[^/]*:/.test(path) ? `./${path}` : path);
}
