/**
 * Reads the disk as a guest sees it, through a whole backing chain.
 */
import type { Locking } from '../../chain/locking.ts';
import type { CachedReads } from '../../storage/cached-reads.ts';
import { chainMap, type MappedLayers } from '../allocation/chain-map.ts';
import type { MapExtent } from '../allocation/map-columns.ts';
import { type LayerData, openLayerData } from './layer-data.ts';

export interface GuestReader {
  readonly virtualSizeBytes: number;
  /** Yields the extents of the disk in order, in batches. `read` and `source` take one of them. */
  extents(): AsyncGenerator<MapExtent[]>;
  /**
   * Fills `into` with the disk's data from `offset`.
   *
   * @param extent an extent from `extents` that contains the whole range
   * @throws RefusedError if the data is encrypted, or compressed data is broken
   */
  read(extent: MapExtent, offset: number, into: Uint8Array): Promise<void>;
  /** Like `read`, but from the page cache, before it returns. Returns false where that is not possible. */
  readNow(extent: MapExtent, offset: number, into: Uint8Array, cached: CachedReads): boolean;
  /** Identifies the image and the file with the data of an extent. */
  source(extent: MapExtent): Pick<LayerData, 'imageIdentity' | 'dataIdentity'>;
  /** Closes the files that were opened in addition to the layers. */
  close(): Promise<void>;
}

/** @param locking for external data files; each is opened when the map reaches data of its image */
export async function openGuestReader(layers: MappedLayers, locking: Locking): Promise<GuestReader> {
  const { virtualSizeBytes } = (await layers.layer(0))!;
  const opened: LayerData[] = [];

  async function open(depth: number): Promise<void> {
    opened[depth] = await openLayerData((await layers.layer(depth))!, locking);
  }

  return {
    virtualSizeBytes,
    async *extents() {
      for await (const batch of chainMap(layers)) {
        for (const { zero, depth } of batch) if (!zero && opened[depth] === undefined) await open(depth);
        yield batch;
      }
    },
    async read(extent, offset, into) {
      if (extent.zero) into.fill(0);
      else await opened[extent.depth]!.read(extent, offset, into);
    },
    readNow(extent, offset, into, cached) {
      if (!extent.zero) return opened[extent.depth]!.readNow(extent, offset, into, cached);
      into.fill(0);
      return true;
    },
    source: ({ depth }) => opened[depth]!,
    async close() {
      await Promise.all(opened.map((layer) => layer.close()));
    },
  };
}
