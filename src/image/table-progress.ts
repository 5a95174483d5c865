/**
 * Adds up the bytes read from L2 tables, for progress reports.
 */
import { type ActiveTables, l2TableCount } from './image.ts';
import type { ProgressOptions } from './progress.ts';
import type { TableReading } from './read-tables.ts';

/** Passes on the caller's signal and reports progress against all the L2 tables of `images`. */
export function tableReading(
  tables: readonly ActiveTables[],
  { signal, onProgress }: ProgressOptions,
): TableReading {
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
