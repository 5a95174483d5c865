/**
 * Removes the files of a run. Other users, such as that of QEMU, may write to the same folders, so this
 * follows no links and removes nothing with another name.
 */
import { readdir, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { runOf } from './own-names.ts';

/** Removes a file of the run, or a folder of the run with its files. A later run removes what stays. */
export async function removeOwn(path: string, run: string): Promise<void> {
  try {
    const names = await readdir(path).catch(() => undefined);
    if (names === undefined) return await unlink(path);
    for (const name of names.filter((each) => runOf(each) === run)) await unlink(join(path, name));
    await rmdir(path);
  } catch {
    // Nothing in these files matters to anybody.
  }
}
