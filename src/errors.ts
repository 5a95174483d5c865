/**
 * The kinds of failure that a user can meet. Each has one exit code. Any other thrown error is a bug.
 */
import type { Remedy } from './remedy.ts';

/** Data for scripts in addition to the message. */
export type ErrorContext = Readonly<Record<string, string | number | boolean | readonly string[]>>;

export interface ErrorDetails {
  /** The next step for the user. */
  readonly remedy?: Remedy | undefined;
  readonly context?: ErrorContext;
  readonly cause?: unknown;
}

/** Base of every expected error. `code` is stable: scripts may rely on it. */
export abstract class BitmapToolError<Code extends string = string> extends Error {
  abstract readonly exitCode: number;
  readonly code: Code;
  readonly remedy: Remedy | undefined;
  readonly context: ErrorContext;

  constructor(code: Code, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.remedy = details.remedy;
    this.context = details.context ?? {};
  }
}

/** A failed attempt: I/O, permissions, space. The message describes the current state on disk. */
export class FailedError extends BitmapToolError<
  'FILE_NOT_FOUND' | 'NOT_A_FILE' | 'ACCESS_DENIED' | 'NO_SPACE' | 'IO_ERROR' | 'LIBVIRT_ERROR'
> {
  readonly exitCode = 1;
}

/** The request itself is wrong. */
export class UsageError extends BitmapToolError<'USAGE'> {
  readonly exitCode = 2;

  constructor(message: string, details: ErrorDetails = {}) {
    super('USAGE', message, details);
  }
}

export type RefusalCode =
  /** The image breaks a rule of the format or a limit of QEMU. */
  | 'INVALID_IMAGE'
  /** A format, feature or reference that this tool does not read. */
  | 'UNSUPPORTED'
  /** The image is marked corrupt or dirty and needs `qemu-img check` first. */
  | 'NEEDS_CHECK'
  /** The XML describes no libvirt checkpoint, or checkpoints contradict each other. */
  | 'INVALID_CHECKPOINT'
  /** The backing chain loops, breaks, or is too deep. */
  | 'BROKEN_CHAIN'
  | 'BITMAP_EXISTS'
  | 'BITMAP_NOT_FOUND'
  /** The bitmap, or the whole set of bitmaps of the image, is not reliable. */
  | 'BITMAP_INCONSISTENT'
  /** The bitmap would break one of QEMU's limits. */
  | 'BITMAP_LIMIT'
  /** The disks have different sizes, so one bitmap cannot cover both. */
  | 'SIZE_MISMATCH'
  /** The other disk of a comparison is read through the image itself, so no difference can be found. */
  | 'SELF_COMPARISON'
  /** The new file has the name of an existing file. */
  | 'FILE_EXISTS'
  /** A device that cannot grow has too few free clusters, or the header cluster too few free bytes. */
  | 'NO_ROOM'
  /** The platform or file system has no image locks. */
  | 'NO_LOCKS'
  /** The operation is safe but may mark far more than has changed. The user must agree. */
  | 'NEEDS_CONSENT';

/** The state of the image or chain does not allow a safe operation. Nothing was written. */
export class RefusedError extends BitmapToolError<RefusalCode> {
  readonly exitCode = 4;
}

/** Another process holds the image. */
export class InUseError extends BitmapToolError<'IMAGE_IN_USE'> {
  readonly exitCode = 5;

  constructor(message: string, details: ErrorDetails = {}) {
    super('IMAGE_IN_USE', message, details);
  }
}

/** A signal ended the work before anything was written. */
export class InterruptedError extends BitmapToolError<'INTERRUPTED'> {
  readonly exitCode: number;

  constructor(signal: 'SIGHUP' | 'SIGINT' | 'SIGTERM') {
    super('INTERRUPTED', `interrupted by ${signal}; nothing was written`);
    this.exitCode = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }[signal];
  }
}
