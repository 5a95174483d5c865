/**
 * Adds up the bytes read from L2 tables, for progress reports.
 */
import { type ActiveTables, l2TableCount } from './image.ts';
import type { L2Reading } from './read-l2-tables.ts';

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

/** Passes on the caller's signal and reports progress against all the L2 tables of `images`. */
export function tableReading(
  tables: readonly ActiveTables[],
  { signal, onProgress }: ProgressOptions,
): L2Reading {
  const [first] = tables;
  if (onProgress === undefined || first === undefined) return { signal };
  let totalBytes = 0;
  for (const { image, l2Offsets } of tables) {
    totalBytes += l2TableCount(l2Offsets) * image.header.clusterSizeBytes;
  }
  const image = first.image.storage.name;
  let doneBytes = 0;
  return {
    signal,
    onBytes(bytes) {
      // Snapshots add tables of their own, which the total does not include.
      doneBytes = Math.min(doneBytes + bytes, totalBytes);
      onProgress({ phase: 'reading L2 tables', image, doneBytes, totalBytes });
    },
  };
}
