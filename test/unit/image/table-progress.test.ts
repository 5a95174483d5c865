/** Progress over the L2 tables of several images never exceeds their size. */
import { expect, test } from 'vitest';
import type { ActiveTables } from '../../../src/image/image.ts';
import type { Progress } from '../../../src/image/progress.ts';
import { tableReading } from '../../../src/image/table-progress.ts';

const source = (name: string, clusterSizeBytes: number, ...l2Offsets: number[]) => {
  const image = { storage: { name }, header: { clusterSizeBytes } };
  return { image, l2Offsets: Float64Array.from(l2Offsets) } as unknown as ActiveTables;
};
const sources = [source('top', 512, 0, 512, 0, 0, 1024), source('base', 4096, 8192)];

test('progress is the read bytes of all tables', () => {
  const reports: Progress[] = [];
  const { onBytes } = tableReading(sources, { onProgress: (progress) => reports.push(progress) });
  for (const bytes of [1024, 4096]) onBytes?.(bytes);
  expect(reports).toEqual([
    { phase: 'reading L2 tables', image: 'top', doneBytes: 1024, totalBytes: 5120 },
    { phase: 'reading L2 tables', image: 'top', doneBytes: 5120, totalBytes: 5120 },
  ]);
  // Tables of snapshots were not counted.
  onBytes?.(4096);
  expect(reports.at(-1)).toMatchObject({ doneBytes: 5120 });
});

test('progress is not reported without a listener or without reads, and the signal is passed on', () => {
  const { signal } = new AbortController();
  expect(tableReading(sources, { signal })).toEqual({ signal });
  expect(tableReading([], { signal, onProgress: () => expect.unreachable() })).toEqual({ signal });
  expect(tableReading(sources, { signal, onProgress: () => {} })).toMatchObject({ signal });
});
