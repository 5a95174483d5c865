/**
 * The two system calls that Node lacks, fcntl(2) for OFD locks and lseek(2) for holes, reached through koffi.
 */
import { arch, constants, platform } from 'node:os';

/** A failed call throws an error with `code` and `errno`, as Node's own calls do. */
export interface Native {
  /** Takes a shared lock on one byte of the file, which need not exist. It lives as long as `fd` is open. */
  lockShared(fd: number, byte: number): void;
  unlock(fd: number, byte: number): void;
  /** Whether anyone else's lock, shared or exclusive, is on the byte. Locks held through `fd` do not count. */
  isLockedElsewhere(fd: number, byte: number): boolean;
  /** Where data begins at or after `offset`, undefined when none is left. Moves the file position. */
  seekData(fd: number, offset: number): number | undefined;
  /** Where a hole begins at or after `offset`, undefined when that is past the end. Moves the file position. */
  seekHole(fd: number, offset: number): number | undefined;
}

/** The one in package.json. */
export const KOFFI_VERSION = '3.3.4';

let loading: Promise<Native | undefined> | undefined;

/** Undefined where koffi, an optional dependency, does not load, or where the numbers below do not hold. */
export function loadNative(): Promise<Native | undefined> {
  loading ??= bindLibc().catch(() => undefined);
  return loading;
}

// <fcntl.h>, <unistd.h>: the same on every Linux; struct flock has this layout on every 64-bit one that Node runs on.
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

async function bindLibc(): Promise<Native | undefined> {
  if (platform() !== 'linux' || !LITTLE_ENDIAN_64_BIT.includes(arch())) return undefined;
  const { load, errno } = await loadKoffi();
  // Node itself is linked to libc, be it glibc or musl, so its own symbols are the right ones.
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
    // Not a koffi struct: in a variadic call that is copied in only, and F_OFD_GETLK's answer would be lost.
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

/**
 * The package with koffi's binary is all that is needed here. Where it is not found, koffi itself finds it, which takes longer:
 * its JavaScript takes more time to load than the binary.
 */
async function loadKoffi(): Promise<Pick<typeof import('koffi'), 'load' | 'errno'>> {
  const binaryPackage = `@koromix/koffi-linux-${arch()}`;
  try {
    const { default: binary } = await import(binaryPackage);
    if (binary.version === KOFFI_VERSION) return binary;
  } catch {}
  return import('koffi');
}

/** util.getSystemErrorName() does not know ENOLCK. */
function systemError(syscall: string, errno: number): NodeJS.ErrnoException {
  const [code = `errno ${errno}`] =
    Object.entries(constants.errno).find(([, value]) => value === errno) ?? [];
  return Object.assign(new Error(`${code}: ${syscall}`), { code, errno, syscall });
}
