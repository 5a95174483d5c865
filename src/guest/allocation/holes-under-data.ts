/**
 * Finds the holes of the file under data clusters, as QEMU does in a preallocated image.
 */
import type { Qcow2Layer } from '../../chain/layer.ts';
import { seemsPreallocated } from '../../image/preallocation.ts';
import { bytesOnDisk, type FileStretch, type FileStretchAt, fileStretches } from '../../storage/holes.ts';
import { NO_OFFSET, RUN, type RunKind, type Runs, type RunsBuilder } from './runs.ts';

/**
 * If the image seems preallocated, QEMU looks for holes under its data (BDRV_BLOCK_RECURSE). QEMU also does
 * so in an external data file, but that file is not open here.
 */
export async function holesUnderData({ image, storage }: Qcow2Layer): Promise<FileStretchAt | undefined> {
  if (image.header.hasDataFile) return undefined;
  const seems = await seemsPreallocated(image, bytesOnDisk(storage.fd));
  return seems ? fileStretches(storage.fd) : undefined;
}

/** Marks the data that lies in holes. Nearly every run lies in one stretch, so its kind changes in place. */
export function withHoles(runs: Runs, stretchAt: FileStretchAt, split: RunsBuilder): Runs {
  const { count, ends, kinds, hostOffsets } = runs;
  let start = runs.start;
  let stretch: FileStretch = { start: 0, end: 0, isData: true };
  for (let index = 0; index < count; index++) {
    const end = ends[index]!;
    const host = hostOffsets[index]!;
    if (kinds[index] === RUN.data && host !== NO_OFFSET) {
      if (host < stretch.start || host >= stretch.end) stretch = stretchAt(host);
      if (host + (end - start) > stretch.end) return splitAtHoles(runs, stretchAt, split);
      if (!stretch.isData) kinds[index] = RUN.hole;
    }
    start = end;
  }
  return runs;
}

function splitAtHoles(runs: Runs, stretchAt: FileStretchAt, split: RunsBuilder): Runs {
  split.reset(runs.start);
  for (let index = 0; index < runs.count; index++) {
    const end = runs.ends[index]!;
    const kind = runs.kinds[index] as RunKind;
    let host = runs.hostOffsets[index]!;
    if (kind !== RUN.data || host === NO_OFFSET) {
      split.add(end, kind, host);
      continue;
    }
    while (split.end < end) {
      const stretch = stretchAt(host);
      const from = split.end;
      const to = Math.min(end, from + stretch.end - host);
      split.add(to, stretch.isData ? RUN.data : RUN.hole, host);
      host += to - from;
    }
  }
  return split.finish();
}
