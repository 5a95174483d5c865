/**
 * A new file that gets its name only when it is complete. It never replaces another file.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { FailedError, RefusedError } from '../errors.ts';
import { type FileStorage, ioError, openFile } from './file.ts';
import { folderOf, pathIn } from './path.ts';

const open = promisify(fs.open);
const close = promisify(fs.close);
const sync = promisify(fs.fsync);
const link = promisify(fs.link);
const unlink = promisify(fs.unlink);
const lstat = promisify(fs.lstat);

export interface NewFile {
  /** Its content, under a temporary name in the same folder. */
  readonly storage: FileStorage;
  /**
   * Makes the content durable, then the name.
   *
   * @throws RefusedError when a file with that name exists by now
   * @throws FailedError when the folder does not accept the name
   */
  publish(): Promise<void>;
  /** Closes the file, and removes it unless it was published. */
  close(): Promise<void>;
}

/**
 * Opens a new file under a temporary name in the folder of `path`.
 *
 * @throws RefusedError when the name exists already
 * @throws FailedError when the folder is missing or not writable
 */
export async function createNewFile(path: string): Promise<NewFile> {
  await refuseExisting(path);
  const folder = folderOf(path);
  // This module is loaded only here, because loading it takes longer than reading many images.
  const { randomBytes } = await import('node:crypto');
  const temporary = pathIn(folder, `.bitmap-tool-${process.pid}-${randomBytes(4).toString('hex')}.tmp`);
  // No other process knows the name, so no lock is needed.
  const storage = await createEmpty(path, temporary);
  let isThere = true;
  const removeTemporary = async () => {
    if (!isThere) return;
    await unlink(temporary);
    isThere = false;
  };
  return {
    storage,
    async publish() {
      await storage.flush();
      try {
        await link(temporary, path);
      } catch (cause) {
        throw linkError(path, cause as NodeJS.ErrnoException);
      }
      await removeTemporary().catch((cause) => {
        throw ioError(path, `is complete, but its other name ${temporary} could not be removed`, cause);
      });
      await flushFolder(path, folder);
    },
    async close() {
      await storage.close();
      // Only the earlier error is reported.
      await removeTemporary().catch(() => {});
    },
  };
}

/** @throws RefusedError when the name exists already, also as a dangling symbolic link */
export async function refuseExisting(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found !== undefined) throw exists(path);
}

async function createEmpty(path: string, temporary: string): Promise<FileStorage> {
  try {
    await close(await open(temporary, 'wx'));
  } catch (cause) {
    throw createError(path, cause as NodeJS.ErrnoException);
  }
  try {
    return await openFile(temporary, 'write', async () => {}, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

async function flushFolder(path: string, folder = '.'): Promise<void> {
  try {
    const fd = await open(folder, 'r');
    try {
      await sync(fd);
    } finally {
      await close(fd);
    }
  } catch (cause) {
    throw ioError(
      path,
      'exists, but its folder could not be flushed: a power cut may remove the name',
      cause,
    );
  }
}

function exists(path: string): RefusedError {
  return new RefusedError('FILE_EXISTS', `${path}: there is a file of that name already`, {
    remedy: { kind: 'name-new-file' },
    context: { file: path },
  });
}

function createError(path: string, cause: NodeJS.ErrnoException): FailedError {
  const context = { file: path };
  switch (cause.code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new FailedError('FILE_NOT_FOUND', `${path}: its folder does not exist`, { cause, context });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new FailedError('ACCESS_DENIED', `${path}: its folder may not be written (${cause.code})`, {
        cause,
        context,
        remedy: { kind: 'choose-writable-folder' },
      });
    default:
      return ioError(path, 'could not be created', cause);
  }
}

function linkError(path: string, cause: NodeJS.ErrnoException): RefusedError | FailedError {
  switch (cause.code) {
    case 'EEXIST':
      return exists(path);
    case 'EPERM':
    case 'EOPNOTSUPP':
    case 'ENOSYS':
      return new FailedError(
        'IO_ERROR',
        `${path}: cannot get its name without the risk of replacing another file: this file system has no hard links (${cause.code})`,
        {
          cause,
          context: { file: path },
          remedy: { kind: 'choose-other-file-system' },
        },
      );
    default:
      return ioError(path, 'could not be named', cause);
  }
}
