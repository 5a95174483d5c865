/**
 * QEMU's image locks (file-posix.c, "raw_check_lock_bytes"). They prevent this tool and QEMU from using an
 * image at the same time.
 */
import { constants } from 'node:os';
import { FailedError, InUseError, RefusedError } from '../errors.ts';
import type { Remedy } from '../remedy.ts';
import type { NoNativeError } from './load-koffi.ts';
import { findLockHolders, type LockHolder } from './lock-holders.ts';
import { findNative, loadNative, type Native } from './native.ts';

/**
 * `writer` writes. `reader` reads and needs a stable image. `force-share` reads an image that may change
 * (`qemu-img -U`).
 */
export type LockRole = 'writer' | 'reader' | 'force-share';

/** QEMU's BLK_PERM_*, by bit number. */
const CONSISTENT_READ = 0;
const WRITE = 1;
const RESIZE = 3;

/** Byte 100 + i is locked while permission i is used. Byte 200 + i is locked while it is not shared. */
const USED_BASE = 100;
const UNSHARED_BASE = 200;

const ROLES = {
  writer: { uses: [CONSISTENT_READ, WRITE, RESIZE], unshared: [WRITE, RESIZE] },
  reader: { uses: [CONSISTENT_READ], unshared: [WRITE, RESIZE] },
  'force-share': { uses: [CONSISTENT_READ], unshared: [] },
} as const satisfies Record<LockRole, { uses: readonly number[]; unshared: readonly number[] }>;

const TO_DO = { writer: 'write', reader: 'read', 'force-share': 'read-shared' } as const satisfies Record<
  LockRole,
  string
>;

/**
 * Takes the locks of `role` on the image open as `fd`. Does not wait. The locks last as long as `fd` is open.
 * A reader may become a writer, and no other writer can come in between. `name` is the name of the image in
 * messages.
 *
 * @throws InUseError when locks of another process exclude the role. Then no own lock is held.
 * @throws RefusedError `NO_LOCKS` when the platform or the file system does not support these locks.
 * @throws FailedError when locking fails for another reason. Close `fd` then.
 */
export async function lockImage(fd: number, name: string, role: LockRole): Promise<void> {
  const native = await loadNative().catch((error: NoNativeError) => {
    throw noLocks(name, error.message, error.remedy, error);
  });
  const conflicts = takeLocks(native, fd, name, role);
  if (conflicts.length > 0)
    throw inUse(name, role, conflicts, await findLockHolders(fd, conflicts, USED_BASE + WRITE));
}

/** Whether another process has the image of `fd` open for writing. False if locks are not supported. */
export async function isWrittenElsewhere(fd: number): Promise<boolean> {
  const native = await findNative();
  return native?.isLockedElsewhere(fd, USED_BASE + WRITE) ?? false;
}

/** Returns the bytes with conflicting locks of other processes. If there are any, no own lock is held. */
function takeLocks(native: Native, fd: number, name: string, role: LockRole): number[] {
  const { uses, unshared } = ROLES[role];
  const own = [...uses.map((i) => USED_BASE + i), ...unshared.map((i) => UNSHARED_BASE + i)];
  const opposed = [...uses.map((i) => UNSHARED_BASE + i), ...unshared.map((i) => USED_BASE + i)];
  let conflicts: number[] = [];
  try {
    conflicts = takeShared(native, fd, own);
    // Lock the own bytes first, then check. Of two racing openers at least one sees the other, so they never
    // both succeed.
    if (conflicts.length === 0) conflicts = opposed.filter((byte) => native.isLockedElsewhere(fd, byte));
  } catch (cause) {
    throw lockError(name, cause as NodeJS.ErrnoException);
  }
  if (conflicts.length > 0) for (const byte of own) native.unlock(fd, byte);
  return conflicts;
}

/** Returns the byte that cannot be locked. Only an exclusive lock blocks a shared lock. QEMU takes none. */
function takeShared(native: Native, fd: number, bytes: readonly number[]): number[] {
  for (const byte of bytes) {
    try {
      native.lockShared(fd, byte);
    } catch (error) {
      const { errno } = error as NodeJS.ErrnoException;
      if (errno === constants.errno.EAGAIN || errno === constants.errno.EACCES) return [byte];
      throw error;
    }
  }
  return [];
}

function inUse(
  name: string,
  role: LockRole,
  conflicts: readonly number[],
  holders: readonly LockHolder[],
): InUseError {
  const programs = holders.map(programOf);
  const claims = holders.map(
    (holder) => `${programOf(holder)} holds it for ${holder.writes ? 'writing' : 'reading'}`,
  );
  if (claims.length === 0) {
    const purpose = conflicts.includes(USED_BASE + WRITE) ? 'writing' : 'reading';
    claims.push(`a process that cannot be seen from here holds it for ${purpose}`);
  }
  return new InUseError(`${name}: in use: ${claims.join(', ')}`, {
    remedy: { kind: 'stop-programs', programs, toDo: TO_DO[role] },
    context: { file: name, holders: programs },
  });
}

function programOf({ command, pid }: LockHolder): string {
  return `${command} (pid ${pid})`;
}

function lockError(name: string, cause: NodeJS.ErrnoException): RefusedError | FailedError {
  const { ENOLCK, EINVAL, EOPNOTSUPP, ENOSYS } = constants.errno;
  if ([ENOLCK, EINVAL, EOPNOTSUPP, ENOSYS].includes(cause.errno ?? 0)) {
    const reason = `its file system has no such locks (${cause.code})`;
    return noLocks(name, reason, { kind: 'work-without-locks' }, cause);
  }
  return new FailedError('IO_ERROR', `${name}: could not lock: ${cause.message}`, {
    cause,
    context: { file: name },
  });
}

function noLocks(name: string, reason: string, remedy: Remedy, cause: unknown): RefusedError {
  return new RefusedError('NO_LOCKS', `${name}: cannot be locked against other programs: ${reason}`, {
    cause,
    context: { file: name },
    remedy,
  });
}
