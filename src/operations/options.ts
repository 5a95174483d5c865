/**
 * What every operation takes beside its own arguments.
 */
import type { Locking } from '../chain/locking.ts';

export interface Progress {
  /** What is being done, for example "reading L2 tables". */
  readonly phase: string;
  /** The image it is done on, as messages name it. */
  readonly image?: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface OperationOptions {
  /** Ends the work before its first write; a change once begun is completed. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Read images that others have open for writing; what is read may be stale. */
  readonly forceShare?: boolean | undefined;
  /** Take no image locks: for platforms and file systems that have none. */
  readonly noLock?: boolean | undefined;
}

export function lockingOf({ forceShare, noLock }: OperationOptions): Locking {
  if (noLock) return 'none';
  return forceShare ? 'share' : 'lock';
}
