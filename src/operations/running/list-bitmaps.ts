/**
 * Lists the bitmaps of an image that a running QEMU has open.
 */
import { allLayers } from '../../chain/chain.ts';
import type { QemuBitmap } from '../../qemu/block-nodes.ts';
import {
  type BitmapList,
  type ListedBitmap,
  type ListedImage,
  type ListOptions,
  listLayer,
} from '../bitmaps/list-bitmaps.ts';
import type { RunningQemu } from './open-qemu.ts';
import { type RunningImage, withRunningImage } from './running-image.ts';

/** Lists the bitmaps of writable images from QEMU, and those of read-only images from the files. */
export async function listRunning(
  qemu: RunningQemu,
  imageName: string,
  options: ListOptions = {},
): Promise<BitmapList> {
  return withRunningImage(qemu, imageName, options, async (running) => {
    const layers = options.chain ? await allLayers(running.chain) : [running.chain.top];
    const listed: ListedImage[] = [];
    for (const [index, layer] of layers.entries()) {
      const node = running.nodes[index]!;
      listed.push(node.options.readOnly ? await listLayer(layer, options) : listNode(running, index));
    }
    return options.chain ? { ...listed[0]!, layers: listed } : listed[0]!;
  });
}

function listNode({ nodes, path }: RunningImage, index: number): ListedImage {
  const { path: own, virtualSizeBytes, bitmaps } = nodes[index]!;
  return {
    image: index === 0 ? path : own,
    format: 'qcow2',
    virtualSize: virtualSizeBytes,
    bitmaps: bitmaps.map(listBitmap),
    stale: false,
  };
}

function listBitmap(bitmap: QemuBitmap): ListedBitmap {
  const { name, granularity, recording, inconsistent, dirtyBytes } = bitmap;
  return {
    name,
    granularity,
    flags: [...(inconsistent ? (['in-use'] as const) : []), ...(recording ? (['auto'] as const) : [])],
    dirtyBytes: inconsistent ? null : dirtyBytes,
    // QEMU allocates its clusters when it closes the image.
    diskBytes: 0,
    running: { persistent: bitmap.persistent, busy: bitmap.busy },
  };
}
