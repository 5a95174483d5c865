/**
 * Adds up what is read of L2 tables, for progress.
 */
import type { Image } from '../image/image.ts';
import type { L2Reading } from '../image/l2-tables.ts';
import type { OperationOptions } from './options.ts';

/** Passes on the caller's signal and reports progress against all the L2 tables of `images`. */
export function tableReading(
  tables: readonly { image: Image; l2Offsets: Float64Array }[],
  { signal, onProgress }: OperationOptions,
): L2Reading {
  if (onProgress === undefined) return { signal };
  let totalBytes = 0;
  for (const { image, l2Offsets } of tables) {
    totalBytes += l2Offsets.filter((offset) => offset !== 0).length * image.header.clusterSizeBytes;
  }
  const image = tables[0]!.image.storage.name;
  let doneBytes = 0;
  return {
    signal,
    onBytes(bytes) {
      // Snapshots add tables of their own, which are not counted beforehand.
      doneBytes = Math.min(doneBytes + bytes, totalBytes);
      onProgress({ phase: 'reading L2 tables', image, doneBytes, totalBytes });
    },
  };
}
