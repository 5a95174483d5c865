/**
 * The output file of a picture. It never overwrites an image, and it is never incomplete.
 */
import { open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { FailedError, UsageError } from '../errors.ts';
import { folderOf, pathIn } from '../storage/path.ts';
import { CommandLineError } from './errors.ts';

export interface PictureFile {
  readonly name: string;
  /** Creates or replaces the file atomically. */
  write(svg: string): Promise<void>;
}

/** Pictures are smaller. A raw disk that begins like a picture is larger. */
const MAX_PICTURE_BYTES = 2 ** 20;

/**
 * Checks before the work starts that the picture can be written to the file.
 *
 * @throws UsageError when the file exists and is not an SVG picture
 * @throws FailedError when its folder does not exist
 */
export async function openPictureFile(name: string): Promise<PictureFile> {
  const path = await realpath(name).catch(() => name);
  await refuseOther(name, path);
  const folder = folderOf(path);
  const isFolder = await stat(folder ?? '.').then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new FailedError('FILE_NOT_FOUND', `${name}: its folder does not exist`);
  return {
    name,
    async write(svg) {
      const temporary = pathIn(folder, `.${basename(path)}.${process.pid}.tmp`);
      try {
        await writeFile(temporary, svg, { flag: 'wx' });
        await refuseOther(name, path);
        await rename(temporary, path);
      } catch (error) {
        await rm(temporary, { force: true });
        throw error instanceof UsageError ? error : failure(name, error as NodeJS.ErrnoException);
      }
    },
  };
}

async function refuseOther(name: string, path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return;
  const isPicture =
    found.isFile() && found.size <= MAX_PICTURE_BYTES && (await beginsAsSvg(path, found.size));
  if (isPicture) return;
  throw new CommandLineError(
    `${name}: exists and is not an SVG picture, so it is not overwritten`,
    'Name another file for the picture.',
  );
}

/** Only an XML declaration and comments may precede the root element. */
const SVG_START = /^\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--[\s\S]*?-->\s*)*<svg[\s/>]/;
const SVG_START_BYTES = 4096;

/** True for an empty file, for example from mktemp, because overwriting it loses no data. */
async function beginsAsSvg(path: string, sizeBytes: number): Promise<boolean> {
  if (sizeBytes === 0) return true;
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return false;
  try {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(SVG_START_BYTES), position: 0 });
    return SVG_START.test(buffer.toString('utf8', 0, bytesRead));
  } finally {
    await file.close();
  }
}

function failure(name: string, cause: NodeJS.ErrnoException): FailedError {
  const what = `${name}: the picture cannot be written: ${cause.message}`;
  if (cause.code === 'ENOSPC') return new FailedError('NO_SPACE', what, { cause });
  if (cause.code === 'EACCES' || cause.code === 'EPERM' || cause.code === 'EROFS')
    return new FailedError('ACCESS_DENIED', what, { cause });
  return new FailedError('IO_ERROR', what, { cause });
}
