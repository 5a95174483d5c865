/**
 * Reads the marks of one bitmap of a running QEMU.
 */
import { type DirtyBitmap, dirtyBytes } from '../../bitmap/dirty-bitmap.ts';
import { ownGranularityBits } from '../../bitmap/granularity.ts';
import { ALLOCATED } from '../../checkpoint/names.ts';
import { readAllocatedByQemu, readMarksOfQemu } from '../../qemu/read-exports.ts';
import { type BitmapDump, type DumpOptions, wholeDisk, withLowerImages } from '../bitmaps/dump-bitmap.ts';
import { requireConsistentBitmap } from '../bitmaps/find-bitmap.ts';
import type { RunningQemu } from './open-qemu.ts';
import { type RunningImage, withRunningImage } from './running-image.ts';

/** @param name of a bitmap, or `#ALLOCATED` for the allocation of the image itself */
export async function dumpRunning(
  qemu: RunningQemu,
  imageName: string,
  name: string,
  options: DumpOptions = {},
): Promise<BitmapDump> {
  return withRunningImage(qemu, imageName, options, async (running) => {
    const own = await readIn(running, name, options);
    const bitmap = options.chain ? await withLowerImages(own, running.chain, name, options) : own;
    return {
      image: running.path,
      name,
      virtualSize: bitmap.virtualSizeBytes,
      granularity: 2 ** bitmap.granularityBits,
      dirtyBytes: dirtyBytes(bitmap),
      ...wholeDisk(bitmap),
    };
  });
}

async function readIn(
  { session, nodes, image, present }: RunningImage,
  name: string,
  options: DumpOptions,
): Promise<DirtyBitmap> {
  const node = nodes[0]!;
  if (name === ALLOCATED)
    return readAllocatedByQemu(session, node, 1, ownGranularityBits(image.header), options);
  const { granularityBits } = requireConsistentBitmap(image, present, name);
  return readMarksOfQemu(session, node, { name, granularity: 2 ** granularityBits }, options);
}
