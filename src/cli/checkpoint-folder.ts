/**
 * A folder with one XML file for each checkpoint. The file names sort in the order that libvirt requires.
 */
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { FailedError, UsageError } from '../errors.ts';
import type { CheckpointDocument } from '../operations/checkpoints/write-checkpoint-xml.ts';
import { pathIn } from '../storage/path.ts';
import { CommandLineError } from './errors.ts';

/**
 * Creates the folder if it does not exist.
 *
 * @returns the paths of the files
 * @throws UsageError when the folder already has XML files: a loop over the folder would also redefine them
 */
export async function writeCheckpoints(
  folder: string,
  checkpoints: readonly CheckpointDocument[],
): Promise<string[]> {
  try {
    await mkdir(folder, { recursive: true });
    const other = (await readdir(folder)).find((name) => name.endsWith('.xml'));
    if (other !== undefined) {
      throw new CommandLineError(
        `${pathIn(folder, other)} exists already: virsh would redefine it with these checkpoints`,
        'Name a new folder.',
      );
    }
    const digits = Math.max(3, String(checkpoints.length).length);
    const paths: string[] = [];
    const nowSeconds = Math.floor(Date.now() / 1000);
    for (const [index, { name, xml }] of checkpoints.entries()) {
      const path = pathIn(folder, `${String(index + 1).padStart(digits, '0')}-${name}.xml`);
      await writeFile(path, xml, { flag: 'wx' });
      // virtnbdbackup sorts the files of a folder by time. File systems may round times, so each file gets
      // its own second.
      const seconds = nowSeconds - (checkpoints.length - 1 - index);
      await utimes(path, seconds, seconds);
      paths.push(path);
    }
    return paths;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const cause = error as NodeJS.ErrnoException;
    const message = `${folder}: the checkpoints cannot be written: ${cause.message}`;
    throw new FailedError(cause.code === 'ENOSPC' ? 'NO_SPACE' : 'IO_ERROR', message, { cause });
  }
}
