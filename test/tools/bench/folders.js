/** Temporary folders for the images, gone when the process ends, however it ends. */

import { closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SHARED_MEMORY = '/dev/shm';

/** @type {string[]} */
const made = [];
process.on('exit', () => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));

/**
 * The folder that BITMAP_TOOL_BENCH_DIR names, or the system's temporary one, is where images go; one that is too long
 * for that file system (ext4, for one, ends at 16 TiB) goes to a tmpfs. That costs little: the files are sparse.
 * @param {number} [longestFileBytes] that the folder must be able to hold
 */
export function temporaryFolder(longestFileBytes = 0) {
  const parents = [process.env['BITMAP_TOOL_BENCH_DIR'] ?? tmpdir(), SHARED_MEMORY];
  for (const parent of parents.filter((path, index) => index === 0 || existsSync(path))) {
    const folder = mkdtempSync(join(parent, 'bitmap-tool-bench-'));
    made.push(folder);
    if (holds(folder, longestFileBytes)) return folder;
  }
  throw new Error(
    'an image is too long for these file systems: name an XFS or tmpfs in BITMAP_TOOL_BENCH_DIR',
  );
}

/** @param {string} folder @param {number} fileBytes */
function holds(folder, fileBytes) {
  const path = join(folder, 'probe');
  const file = openSync(path, 'wx');
  try {
    ftruncateSync(file, fileBytes);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EFBIG') return false;
    throw error;
  } finally {
    closeSync(file);
    rmSync(path);
  }
}
