/**
 * A regular file or a block device as storage.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { FailedError } from '../errors.ts';
import type { Storage } from './storage.ts';

// node:fs/promises is not used, because each read through its file handles takes longer.
const open = promisify(fs.open);
const close = promisify(fs.close);
const stat = promisify(fs.stat);
const readFile = promisify(fs.readFile);
const readAt = promisify(fs.read);
const writeAt = promisify(fs.writev);
const datasync = promisify(fs.fdatasync);

export interface FileStorage extends Storage {
  readonly fd: number;
  /** Device and inode (or device number): equal for two names of one file. */
  readonly identity: string;
  /** Whether the file is also open for writing. */
  readonly canWrite: boolean;
}

/**
 * Opens `path` for reading, or for reading and writing.
 *
 * @param lock locks the descriptor. It is called before the size or the content of the file is read, because
 * another process might change the file until then.
 * @param name the name of the file in messages
 * @throws FailedError when the file does not exist, may not be opened in this mode, or is neither a regular
 * file nor a block device
 */
export async function openFile(
  path: string,
  mode: 'read' | 'write',
  lock: (fd: number) => Promise<void>,
  name = path,
): Promise<FileStorage> {
  const fd = await openChecked(path, mode);
  try {
    // Another file may have taken the name since the check before opening.
    refuseSpecialFile(path, statOpen(fd, path));
    await lock(fd);
    const stats = statOpen(fd, path);
    const isDevice = stats.isBlockDevice();
    if (isDevice && mode === 'write') await refuseReadOnlyDevice(path, stats);
    let sizeBytes = isDevice ? await deviceSizeBytes(path, stats) : Number(stats.size);
    return {
      name,
      fd,
      identity: identityOf(stats),
      canWrite: mode === 'write',
      canGrow: !isDevice,
      get sizeBytes() {
        return sizeBytes;
      },
      read(offset, into) {
        // Files of /proc have size 0, and reading some of them blocks. QEMU does not read them either.
        const inside = Math.min(into.length, Math.max(0, sizeBytes - offset));
        return readFully(fd, name, offset, into, inside);
      },
      readNow(offset, into) {
        if (offset + into.length > sizeBytes) return false;
        try {
          return fs.readSync(fd, into, 0, into.length, offset) === into.length;
        } catch {
          return false;
        }
      },
      async write(offset, ...parts) {
        const length = totalBytes(parts);
        await writeFully(fd, name, offset, parts, length);
        sizeBytes = Math.max(sizeBytes, offset + length);
      },
      async flush() {
        // fdatasync writes the length of the file but not its times, which would cost another journal write.
        await datasync(fd).catch((cause) => {
          throw ioError(name, 'could not flush', cause);
        });
      },
      close: () => closeQuietly(fd),
    };
  } catch (error) {
    await closeQuietly(fd);
    throw error;
  }
}

/** The identity of the file that `path` names, without opening it. */
export async function fileIdentity(path: string): Promise<string> {
  return identityOf(await statFile(path));
}

/** Inode numbers can be above 2^53, for example on an overlayfs. A number would round them. */
function identityOf(stats: fs.BigIntStats): string {
  return stats.isBlockDevice() ? `device ${stats.rdev}` : `${stats.dev}:${stats.ino}`;
}

async function openChecked(path: string, mode: 'read' | 'write'): Promise<number> {
  // Opening a FIFO would block, and opening a device may have side effects.
  refuseSpecialFile(path, await statFile(path));
  try {
    const access = mode === 'read' ? fs.constants.O_RDONLY : fs.constants.O_RDWR;
    return await open(path, access | fs.constants.O_NONBLOCK);
  } catch (cause) {
    throw openError(path, mode, cause as NodeJS.ErrnoException);
  }
}

function statOpen(fd: number, path: string): fs.BigIntStats {
  try {
    return fs.fstatSync(fd, { bigint: true });
  } catch (cause) {
    throw ioError(path, 'could not examine it', cause);
  }
}

/** Errors of close are ignored: writes were flushed before, or their failure was reported. */
async function closeQuietly(fd: number): Promise<void> {
  await close(fd).catch(() => {});
}

async function statFile(path: string): Promise<fs.BigIntStats> {
  try {
    return await stat(path, { bigint: true });
  } catch (cause) {
    throw openError(path, 'read', cause as NodeJS.ErrnoException);
  }
}

function refuseSpecialFile(path: string, stats: fs.BigIntStats): void {
  if (stats.isFile() || stats.isBlockDevice()) return;
  const kind = stats.isDirectory() ? 'a directory' : stats.isFIFO() ? 'a FIFO' : 'a special file';
  throw new FailedError('NOT_A_FILE', `${path}: this is ${kind}, not an image`, {
    remedy: { kind: 'name-file-or-device' },
    context: { file: path },
  });
}

function openError(path: string, mode: 'read' | 'write', cause: NodeJS.ErrnoException): FailedError {
  const context = { file: path };
  switch (cause.code) {
    case 'ENOENT':
    case 'ENOTDIR':
    // The name has a zero byte, or is longer than file systems allow.
    case 'ERR_INVALID_ARG_VALUE':
    case 'ENAMETOOLONG':
      return new FailedError('FILE_NOT_FOUND', `${path}: no such file`, { cause, context });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new FailedError(
        'ACCESS_DENIED',
        `${path}: may not be opened for ${mode === 'read' ? 'reading' : 'writing'} (${cause.code})`,
        {
          cause,
          context,
          remedy: { kind: 'get-permission', to: mode },
        },
      );
    default:
      return ioError(path, 'could not open', cause);
  }
}

export function ioError(path: string, what: string, cause: unknown): FailedError {
  const { code = 'unknown error', message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new FailedError('NO_SPACE', `${path}: ${what}: no space left (${code})`, {
      cause,
      context: { file: path },
      remedy: { kind: 'free-space' },
    });
  }
  if (code === 'EFBIG') {
    return new FailedError('IO_ERROR', `${path}: ${what}: a file may not be that large here (EFBIG)`, {
      cause,
      context: { file: path },
      remedy: { kind: 'raise-file-size-limit' },
    });
  }
  return new FailedError('IO_ERROR', `${path}: ${what}: ${message}`, { cause, context: { file: path } });
}

/**
 * Fills `into` with `length` bytes from `offset`, and with zeros after them. The file had these bytes when it
 * was opened.
 * A file that became shorter is an error. Read as zeros, its tables would seem to allocate nothing.
 */
async function readFully(
  fd: number,
  path: string,
  offset: number,
  into: Uint8Array,
  length: number,
): Promise<void> {
  let done = 0;
  while (done < length) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await readAt(fd, into, done, length - done, offset + done));
    } catch (cause) {
      throw ioError(path, `could not read ${length} bytes at ${offset}`, cause);
    }
    if (bytesRead === 0) throw endsEarly(path, `could not read ${length} bytes at ${offset}`, done);
    done += bytesRead;
  }
  into.fill(0, done);
}

function endsEarly(path: string, what: string, done: number): FailedError {
  return new FailedError(
    'IO_ERROR',
    `${path}: ${what}: the file ends after ${done} of them: it has become shorter`,
    {
      context: { file: path },
      remedy: { kind: 'stop-other-writer' },
    },
  );
}

async function writeFully(
  fd: number,
  path: string,
  offset: number,
  parts: readonly Uint8Array[],
  length: number,
): Promise<void> {
  const what = `could not write ${length} bytes at ${offset}`;
  let done = 0;
  while (done < length) {
    let bytesWritten: number;
    try {
      ({ bytesWritten } = await writeAt(fd, after(parts, done), offset + done));
    } catch (cause) {
      throw ioError(path, what, cause);
    }
    // Without progress, retries might never end. Any other number would continue at a wrong place.
    if (!(bytesWritten > 0 && bytesWritten <= length - done))
      throw new FailedError('IO_ERROR', `${path}: ${what}: ${done} of them were written`, {
        context: { file: path },
      });
    done += bytesWritten;
  }
}

function totalBytes(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

/** The parts without their first `count` bytes. */
function after(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  let skipped = count;
  return parts.flatMap((part) => {
    const rest = part.subarray(Math.min(skipped, part.length));
    skipped -= part.length - rest.length;
    return rest.length === 0 ? [] : [rest];
  });
}

/** stat(2) returns size 0 for a block device. The kernel publishes the size in 512-byte units. */
async function deviceSizeBytes(path: string, stats: fs.BigIntStats): Promise<number> {
  return (await deviceAttribute(path, stats, 'size')) * 512;
}

/** The kernel opens a read-only device for writing without an error. Only the first write would fail. */
async function refuseReadOnlyDevice(path: string, stats: fs.BigIntStats): Promise<void> {
  if ((await deviceAttribute(path, stats, 'ro')) === 0) return;
  throw openError(path, 'write', Object.assign(new Error('read-only device'), { code: 'EROFS' }));
}

/** A number that the kernel publishes about a block device. */
async function deviceAttribute(path: string, { rdev }: fs.BigIntStats, name: 'size' | 'ro'): Promise<number> {
  const { major, minor } = deviceNumbers(rdev);
  try {
    return Number(await readFile(`/sys/dev/block/${major}:${minor}/${name}`, 'utf8'));
  } catch (cause) {
    throw ioError(path, `could not read the ${name} of this block device`, cause);
  }
}

/** Splits st_rdev as glibc's gnu_dev_major(3) and gnu_dev_minor(3) do. */
function deviceNumbers(rdev: bigint): { major: bigint; minor: bigint } {
  return {
    major: ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n),
    minor: (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n),
  };
}
