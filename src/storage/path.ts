/**
 * Paths as the kernel and QEMU read them. Node's join() and resolve() remove `..` as text. If the name before
 * `..` is a symbolic link, the kernel goes to the parent of the link's target instead.
 */
import { realpathSync } from 'node:fs';
import { basename, isAbsolute } from 'node:path';

/** The folder of a file. Undefined for a path without a folder. */
export function folderOf(path: string): string | undefined {
  const end = path.lastIndexOf('/');
  return end < 0 ? undefined : path.slice(0, end + 1);
}

/** @param folder undefined: the current folder */
export function pathIn(folder: string | undefined, name: string): string {
  if (folder === undefined) return name;
  return folder.endsWith('/') ? `${folder}${name}` : `${folder}/${name}`;
}

/**
 * The path of an existing file from the root. The name of the file stays, also if it is a symbolic link, as the
 * name of a logical volume is.
 */
export function absolutePath(path: string): string {
  return isAbsolute(path) ? path : pathIn(realpathSync(folderOf(path) ?? '.'), basename(path));
}
