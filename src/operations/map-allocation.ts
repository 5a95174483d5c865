/**
 * Maps each part of the disk to the image of the chain that provides it.
 */
import { openChain } from '../chain/chain.ts';
import type { Layer } from '../chain/layer.ts';
import { parseReference } from '../chain/reference.ts';
import { mapInColumns } from '../guest/allocation/chain-map.ts';
import { extentsOf, type MapColumns, type MapExtent } from '../guest/allocation/map-columns.ts';
import { lockingOf, type OperationOptions } from './options.ts';

/** An image of the chain, as the map describes it. */
export interface MappedImage {
  readonly depth: number;
  readonly image: string;
  readonly virtualSize: number;
  /** The allocation unit: the cluster size, or a sector for a raw image. */
  readonly clusterSize: number;
}

export interface MapOptions extends OperationOptions {
  /**
   * Called once for each image, before the first extent that may be in it. The call for the top comes first.
   */
  readonly onImage?: ((image: MappedImage) => void) | undefined;
  /** Map only the image itself; do not open its backing images. */
  readonly layer?: boolean | undefined;
}

export interface MapBatch {
  readonly columns: MapColumns;
  /** True for an overlay without its backing images: the content of its gaps is then unknown. */
  readonly gapsAreUnknown: boolean;
}

/**
 * Yields the extents of the disk in order, in batches of some thousands. The images stay open and locked
 * until the iteration ends or is stopped.
 */
export async function* mapAllocation(
  imageName: string,
  options: MapOptions = {},
): AsyncGenerator<MapExtent[]> {
  for await (const { columns, gapsAreUnknown } of mapInBatches(imageName, options)) {
    yield extentsOf(columns, gapsAreUnknown);
  }
}

/** Like mapAllocation. A batch is valid until the next one is requested. */
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
