/**
 * Reads the checkpoints in each image of a running chain: from QEMU for the active image, from the files for
 * the images below.
 */
import type { DirtyBitmap } from '../../bitmap/dirty-bitmap.ts';
import { readInUseMarks } from '../../bitmap/read-bitmap.ts';
import type { Layer, Qcow2Layer } from '../../chain/layer.ts';
import {
  type ChainImage,
  examineChainImage,
  type RunningReader,
} from '../../checkpoint/chain/chain-images.ts';
import type { ProgressOptions } from '../../image/progress.ts';
import { examineDirectory } from '../../image/stored-bitmaps.ts';
import { readAllocatedByQemu, readMarksOfQemu } from '../../qemu/read-exports.ts';
import { presentIn, type RunningImage } from './running-image.ts';

/** Examines an image of the chain; the topmost is number 0. */
export function examineRunning(
  running: RunningImage,
  options: ProgressOptions,
): (layer: Layer, index: number) => Promise<ChainImage> {
  return async (layer, index) => {
    const node = running.nodes[index]!;
    // QEMU loads the bitmaps of a read-only image but does not change them, so the file is up to date.
    if (layer.format === 'raw' || node.options.readOnly)
      return { ...(await examineChainImage(layer)), running: {} };
    const present = presentIn(node);
    return {
      layer,
      present,
      bitmaps: new Map(present.map((entry) => [entry.name, entry])),
      unreadable: new Set(),
      isBeingWritten: false,
      running: { reader: readerOf(running, layer, index, options) },
    };
  };
}

function readerOf(
  { session, nodes }: RunningImage,
  layer: Qcow2Layer,
  index: number,
  options: ProgressOptions,
): RunningReader {
  const node = nodes[index]!;
  return {
    readAllocated: (granularityBits) => readAllocatedByQemu(session, node, 1, granularityBits, options),
    async readMarks(name) {
      const bitmap = node.bitmaps.find((each) => each.name === name)!;
      return bitmap.inconsistent ? leftInFile(layer, name) : readMarksOfQemu(session, node, bitmap, options);
    },
  };
}

/** QEMU does not change a stored bitmap that was in-use when QEMU opened the file. */
async function leftInFile({ image }: Qcow2Layer, name: string): Promise<DirtyBitmap | undefined> {
  const { entries } = await examineDirectory(image);
  const found = entries.find(({ entry }) => entry?.name === name)?.entry;
  return found === undefined ? undefined : readInUseMarks(image, found);
}
