/**
 * Reads the data that one image of a chain provides to the disk.
 */
import type { Layer } from '../../chain/layer.ts';
import type { Locking } from '../../chain/locking.ts';
import { RefusedError } from '../../errors.ts';
import type { CachedReads } from '../../storage/cached-reads.ts';
import type { FileStorage } from '../../storage/file.ts';
import type { MapExtent } from '../allocation/map-columns.ts';
import { type CompressedClusters, compressedClusters } from './compressed-clusters.ts';
import { openDataFile } from './data-file.ts';

export interface LayerData {
  /** Equal for two layers with the same bytes at the same disk offsets. */
  readonly imageIdentity: string;
  /** The file with the data clusters: the image itself, or its external data file. */
  readonly dataIdentity: string;
  /** Fills `into` with the disk's data from `offset`. The whole range must lie in `extent`, which is data. */
  read(extent: MapExtent, offset: number, into: Uint8Array): Promise<void>;
  /** Like `read`, but from the page cache, before it returns. Returns false where that is not possible. */
  readNow(extent: MapExtent, offset: number, into: Uint8Array, cached: CachedReads): boolean;
  close(): Promise<void>;
}

/** Opens the files that are needed in addition to the layer. Closing the result leaves the layer open. */
export async function openLayerData(layer: Layer, locking: Locking): Promise<LayerData> {
  const { storage, format } = layer;
  const hasDataFile = layer.format === 'qcow2' && layer.image.header.hasDataFile;
  const dataFile = hasDataFile ? await openDataFile(layer.image, locking) : undefined;
  const data: FileStorage = dataFile ?? storage;
  const compressed: CompressedClusters | undefined =
    layer.format === 'qcow2' ? compressedClusters({ ...layer.image, storage }) : undefined;

  return {
    imageIdentity: `${format} ${storage.identity}`,
    dataIdentity: data.identity,
    async read(extent, offset, into) {
      refuseEncrypted(layer);
      if (extent.compressed) await compressed!.read(offset, into);
      else await data.read(extent.offset! + (offset - extent.start), into);
    },
    readNow(extent, offset, into, cached) {
      refuseEncrypted(layer);
      return !extent.compressed && cached.read(data, extent.offset! + (offset - extent.start), into);
    },
    async close() {
      await dataFile?.close();
    },
  };
}

function refuseEncrypted(layer: Layer): void {
  if (layer.format !== 'qcow2' || layer.image.header.cryptMethod === 'none') return;
  const { cryptMethod } = layer.image.header;
  throw new RefusedError(
    'UNSUPPORTED',
    `${layer.path}: its data is encrypted (${cryptMethod}) and cannot be read here`,
    {
      remedy: { kind: 'decrypt' },
      context: { file: layer.path, encryption: cryptMethod },
    },
  );
}
