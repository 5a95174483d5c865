/**
 * Maps which image of a chain gives each part of the disk.
 */

import { openChain } from '../chain/chain.ts';
import type { Layer } from '../chain/layer.ts';
import { parseReference } from '../chain/reference.ts';
import { mapInColumns } from '../guest/allocation/chain-map.ts';
import { extentsOf, type MapColumns, type MapExtent } from '../guest/allocation/map-columns.ts';
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

export interface MapBatch {
  readonly columns: MapColumns;
  /** An overlay alone does not show what its gaps read as. */
  readonly gapsAreUnknown: boolean;
}

/**
 * Yields the extents of the disk in order, in batches of some thousands. The images stay open, and locked, until
 * the iteration ends or is given up.
 */
export async function* mapAllocation(
  imageName: string,
  options: MapOptions = {},
): AsyncGenerator<MapExtent[]> {
  for await (const { columns, gapsAreUnknown } of mapInBatches(imageName, options)) {
    yield extentsOf(columns, gapsAreUnknown);
  }
}

/** As mapAllocation; a batch is valid until the next one is asked for. */
export async function* mapInBatches(imageName: string, options: MapOptions = {}): AsyncGenerator<MapBatch> {
  const chain = await openChain(parseReference(imageName, undefined), {
    mode: 'read',
    locking: lockingOf(options),
    onWarning: options.onWarning,
  });
  try {
    const alone = options.layer === true;
    let known = 0;
    const batches = mapInColumns({
      layer: async (depth) => {
        const layer = alone && depth > 0 ? undefined : await chain.layer(depth);
        if (layer !== undefined && depth === known) {
          known++;
          options.onImage?.(describe(layer, depth));
        }
        return layer;
      },
    });
    const gapsAreUnknown = alone && chain.top.backing !== undefined;
    for await (const columns of batches) {
      options.signal?.throwIfAborted();
      const last = columns.count - 1;
      options.onProgress?.({
        phase: 'mapping',
        image: chain.top.path,
        doneBytes: columns.starts[last]! + columns.lengths[last]!,
        totalBytes: chain.top.virtualSizeBytes,
      });
      yield { columns, gapsAreUnknown };
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
