/**
 * Opens a file and holds QEMU's image locks while it is open.
 */
import { FailedError } from '../errors.ts';
import { type FileStorage, openFile } from '../storage/file.ts';
import { lockImage } from '../storage/locks.ts';

/**
 * `lock`: refuse an image in conflicting use. `share`: read it even then; the data may be stale. `none`: take
 * no locks.
 */
export type Locking = 'lock' | 'share' | 'none';

/** `write-later`: like `read`, until `claimForWriting` makes the image writable. */
export type OpenMode = 'read' | 'write' | 'write-later';

/**
 * @throws InUseError when another process holds the image
 * @throws FailedError when it cannot be opened
 */
export async function openLocked(path: string, mode: OpenMode, locking: Locking): Promise<FileStorage> {
  const role = locking === 'share' ? 'force-share' : mode === 'write' ? 'writer' : 'reader';
  const lock = async (fd: number) => {
    if (locking !== 'none') await lockImage(fd, path, role);
  };
  if (mode !== 'write-later') return openFile(path, mode, lock);
  try {
    return await openFile(path, 'write', lock);
  } catch (error) {
    // Most images of a chain are only read. A read-only file is refused later, when it must be written.
    if (!(error instanceof FailedError) || error.code !== 'ACCESS_DENIED') throw error;
    return openFile(path, 'read', lock);
  }
}

/**
 * Makes an image opened with `write-later` writable. No other process has written to it since it was opened.
 *
 * @throws InUseError when another process reads the image; we hold no locks on it then
 * @throws FailedError when it may not be written
 */
export async function claimForWriting(storage: FileStorage, locking: Locking): Promise<void> {
  if (!storage.canWrite) {
    throw new FailedError('ACCESS_DENIED', `${storage.name}: may not be opened for writing`, {
      remedy: { kind: 'get-permission', to: 'write' },
      context: { file: storage.name },
    });
  }
  if (locking === 'lock') await lockImage(storage.fd, storage.name, 'writer');
}
