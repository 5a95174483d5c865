/**
 * Paths as the kernel and QEMU read them. Node's join() and resolve() remove `..` as text. If the name before
 * `..` is a symbolic link, the kernel goes to the parent of the link's target instead.
 */
import { isAbsolute, resolve } from 'node:path';

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

/** The same path from the root. */
export function absolutePath(path: string): string {
  return isAbsolute(path) ? path : pathIn(resolve(), path);
}
