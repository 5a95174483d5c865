/**
 * Maps which image of a chain gives each part of the disk.
 */

import { openChain } from '../chain/chain.ts';
import type { Layer } from '../chain/layer.ts';
import { parseReference } from '../chain/reference.ts';
import { chainMap, type MapExtent } from '../guest/allocation/chain-map.ts';
import { lockingOf, type OperationOptions } from './options.ts';

/** An image of the chain, as it comes into the map. */
export interface MappedImage {
  readonly depth: number;
  readonly image: string;
  readonly virtualSize: number;
  /** The least that can be allocated: the cluster size; of a raw image a sector. */
  readonly clusterSize: number;
}

export interface MapOptions extends OperationOptions {
  /** Told of each image once, before the first extent that may be its own; the top comes before all extents. */
  readonly onImage?: ((image: MappedImage) => void) | undefined;
  /** Only what the image itself holds; its backing images are not opened. */
  readonly layer?: boolean | undefined;
}

/**
 * Yields the extents of the disk in order, in batches of some thousands. The images stay open, and locked, until
 * the iteration ends or is given up.
 */
export async function* mapAllocation(
  imageName: string,
  options: MapOptions = {},
): AsyncGenerator<MapExtent[]> {
  const chain = await openChain(parseReference(imageName, undefined), {
    mode: 'read',
    locking: lockingOf(options),
    onWarning: options.onWarning,
  });
  try {
    const alone = options.layer === true;
    let known = 0;
    const batches = chainMap({
      layer: async (depth) => {
        const layer = alone && depth > 0 ? undefined : await chain.layer(depth);
        if (layer !== undefined && depth === known) {
          known++;
          options.onImage?.(describe(layer, depth));
        }
        return layer;
      },
    });
    // Seen by itself, an overlay does not say what its gaps read as.
    const gapsAreUnknown = alone && chain.top.backing !== undefined;
    for await (const batch of batches) {
      options.signal?.throwIfAborted();
      options.onProgress?.({
        phase: 'mapping',
        image: chain.top.path,
        doneBytes: batch.at(-1)!.start + batch.at(-1)!.length,
        totalBytes: chain.top.virtualSizeBytes,
      });
      yield gapsAreUnknown ? batch.map((each) => (each.present ? each : { ...each, zero: false })) : batch;
    }
  } finally {
    await chain.close();
  }
}

function describe(layer: Layer, depth: number): MappedImage {
  const { path: image, virtualSizeBytes: virtualSize } = layer;
  const clusterSize = layer.format === 'raw' ? 512 : layer.image.header.clusterSizeBytes;
  return { depth, image, virtualSize, clusterSize };
}
