/**
 * Options of every operation in addition to its own arguments.
 */
import type { Locking } from '../chain/locking.ts';
import type { ProgressOptions } from '../image/progress.ts';
import type { OnWarning } from '../remedy.ts';

/** `signal` ends the work before the first write. A change that has begun is completed. */
export interface OperationOptions extends ProgressOptions {
  readonly onWarning?: OnWarning | undefined;
  /** Read images that other programs have open for writing; the data may be stale. */
  readonly forceShare?: boolean | undefined;
  /** Take no image locks: for platforms and file systems that have none. */
  readonly noLock?: boolean | undefined;
}

export function lockingOf({ forceShare, noLock }: OperationOptions): Locking {
  if (noLock) return 'none';
  return forceShare ? 'share' : 'lock';
}
