/**
 * Reports of progress, and the signal that stops the work.
 */

export interface Progress {
  /** The current task, for example "reading L2 tables". */
  readonly phase: string;
  /** The name of the image in messages. */
  readonly image?: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface ProgressOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}
