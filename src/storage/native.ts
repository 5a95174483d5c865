/**
 * The two system calls that Node lacks, fcntl(2) for OFD locks and lseek(2) for holes, reached through koffi.
 */
import { arch, constants, platform } from 'node:os';
import { loadKoffi, NoNativeError } from './load-koffi.ts';

/** A failed call throws an error with `code` and `errno`, as Node's own calls do. */
export interface Native {
  /** Takes a shared lock on one byte, which may lie past the end of the file. It lasts while `fd` is open. */
  lockShared(fd: number, byte: number): void;
  unlock(fd: number, byte: number): void;
  /**
   * Whether the byte has a shared or exclusive lock of another holder. Locks held through `fd` do not count.
   */
  isLockedElsewhere(fd: number, byte: number): boolean;
  /**
   * The start of the first data at or after `offset`, or undefined if there is none. Moves the file position.
   */
  seekData(fd: number, offset: number): number | undefined;
  /**
   * The start of the first hole at or after `offset`, or undefined if `offset` is past the end of the file.
   * Moves the file position.
   */
  seekHole(fd: number, offset: number): number | undefined;
}

let loading: Promise<Native> | undefined;

/** @throws NoNativeError */
export function loadNative(): Promise<Native> {
  loading ??= bindLibc();
  return loading;
}

/** Undefined if {@link loadNative} throws. */
export function findNative(): Promise<Native | undefined> {
  return loadNative().catch(() => undefined);
}

// From <fcntl.h> and <unistd.h>: the same on every Linux. struct flock has this layout on every 64-bit Linux
// that Node supports.
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const SEEK_SET = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FLOCK = { sizeBytes: 32, type: 0, whence: 2, start: 8, length: 16 } as const;
const LITTLE_ENDIAN_64_BIT = ['x64', 'arm64', 'riscv64', 'loong64'];

async function bindLibc(): Promise<Native> {
  if (platform() !== 'linux' || !LITTLE_ENDIAN_64_BIT.includes(arch())) {
    throw new NoNativeError(`image locks need 64-bit Linux, this is ${platform()} on ${arch()}`, {
      kind: 'work-without-locks',
    });
  }
  const { load, errno } = await loadKoffi();
  // Node itself is linked to the libc of the system, glibc or musl. So its own symbols are the right ones.
  const libc = load(null);
  const fcntl = libc.func('int fcntl(int fd, int command, ...)');
  const lseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)');

  /** Returns the type that the kernel left in the struct. */
  function lock(fd: number, command: number, type: number, byte: number): number {
    const flock = Buffer.alloc(FLOCK.sizeBytes);
    flock.writeInt16LE(type, FLOCK.type);
    flock.writeInt16LE(SEEK_SET, FLOCK.whence);
    flock.writeBigInt64LE(BigInt(byte), FLOCK.start);
    flock.writeBigInt64LE(1n, FLOCK.length);
    // A Buffer, not a koffi struct: in a variadic call, koffi only copies a struct in. The result of
    // F_OFD_GETLK would be lost.
    while (fcntl(fd, command, 'void *', flock) === -1) {
      const error = errno();
      if (error !== constants.errno.EINTR) throw systemError('fcntl', error);
    }
    return flock.readInt16LE(FLOCK.type);
  }

  function seek(fd: number, offset: number, whence: number): number | undefined {
    const found = Number(lseek(fd, offset, whence));
    if (found !== -1) return found;
    const error = errno();
    if (error === constants.errno.ENXIO) return undefined;
    throw systemError('lseek', error);
  }

  return {
    lockShared: (fd, byte) => void lock(fd, F_OFD_SETLK, F_RDLCK, byte),
    unlock: (fd, byte) => void lock(fd, F_OFD_SETLK, F_UNLCK, byte),
    isLockedElsewhere: (fd, byte) => lock(fd, F_OFD_GETLK, F_WRLCK, byte) !== F_UNLCK,
    seekData: (fd, offset) => seek(fd, offset, SEEK_DATA),
    seekHole: (fd, offset) => seek(fd, offset, SEEK_HOLE),
  };
}

/** util.getSystemErrorName() does not know ENOLCK. */
function systemError(syscall: string, errno: number): NodeJS.ErrnoException {
  const [code = `errno ${errno}`] =
    Object.entries(constants.errno).find(([, value]) => value === errno) ?? [];
  return Object.assign(new Error(`${code}: ${syscall}`), { code, errno, syscall });
}
