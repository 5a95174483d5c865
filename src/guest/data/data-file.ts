/**
 * Opens the external data file of an image ("External data file name" in the specification).
 */
import { cString } from '../../bytes/c-string.ts';
import { type Locking, openLocked } from '../../chain/locking.ts';
import { FailedError, RefusedError } from '../../errors.ts';
import { EXTENSION_TYPE, findExtension } from '../../format/header-extensions.ts';
import type { Image } from '../../image/image.ts';
import type { FileStorage } from '../../storage/file.ts';

/**
 * Uses the stored name as QEMU does (qcow2_do_open): as a plain path, without `json:` or `file:` forms. A
 * relative path starts at the current folder, not at the image's.
 *
 * @throws RefusedError when the image names no data file
 * @throws FailedError when the data file cannot be opened
 */
export async function openDataFile(image: Image, locking: Locking): Promise<FileStorage> {
  const { storage } = image;
  const name = dataFileName(image);
  try {
    return await openLocked(name, 'read', locking);
  } catch (error) {
    if (!(error instanceof FailedError) || error.code === 'IO_ERROR') throw error;
    throw new FailedError(
      error.code,
      `${storage.name}: its external data file cannot be opened: ${error.message}`,
      {
        cause: error,
        remedy: { kind: 'name-data-file-from-here' },
        context: { file: storage.name, dataFile: name },
      },
    );
  }
}

/** @throws RefusedError when the image names no data file */
export function dataFileName({ storage, extensions }: Image): string {
  const name = cString(findExtension(extensions, EXTENSION_TYPE.dataFile)?.data ?? new Uint8Array(0));
  if (name !== '') return name;
  throw new RefusedError(
    'INVALID_IMAGE',
    `${storage.name}: needs an external data file and names none, so its data cannot be found`,
    {
      context: { file: storage.name },
    },
  );
}
