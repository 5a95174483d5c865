/**
 * Maps which image of a chain gives each part of the disk.
 */
import { chainMap, type MapExtent } from '../allocation/chain-map.ts';
import { openChain } from '../chain/chain.ts';
import { parseReference } from '../chain/reference.ts';
import { lockingOf, type OperationOptions } from './options.ts';

export interface MapOptions extends OperationOptions {
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
    const batches = chainMap({
      layer: async (depth) => (alone && depth > 0 ? undefined : chain.layer(depth)),
    });
    // Seen by itself, an overlay does not say what its gaps read as.
    const gapsAreUnknown = alone && chain.top.backing !== undefined;
    for await (const batch of batches) {
      options.signal?.throwIfAborted();
      options.onProgress?.({
        phase: 'mapping',
        doneBytes: batch.at(-1)!.start,
        totalBytes: chain.top.virtualSizeBytes,
      });
      yield gapsAreUnknown ? batch.map((each) => (each.present ? each : { ...each, zero: false })) : batch;
    }
  } finally {
    await chain.close();
  }
}
