/**
 * Opens a file with QEMU's image locks taken for as long as it is open.
 */
import { type FileStorage, openFile } from '../storage/file.ts';
import { lockImage } from '../storage/locks.ts';

/**
 * `lock`: refuse what others use in a way that conflicts. `share`: read even then; what is read may be stale.
 * `none`: take no locks at all.
 */
export type Locking = 'lock' | 'share' | 'none';

/**
 * @throws InUseError when another process holds the image
 * @throws FailedError when it cannot be opened
 */
export function openLocked(path: string, mode: 'read' | 'write', locking: Locking): Promise<FileStorage> {
  return openFile(path, mode, async (fd) => {
    if (locking === 'share') await lockImage(fd, path, 'force-share');
    else if (locking === 'lock') await lockImage(fd, path, mode === 'write' ? 'writer' : 'reader');
  });
}
