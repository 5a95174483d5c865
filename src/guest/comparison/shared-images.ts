/**
 * Finds the images of one disk through which another disk is read as well. The two disks cannot differ in
 * data from such an image.
 */
import { type Chain, reachableLayers } from '../../chain/chain.ts';
import type { Layer } from '../../chain/layer.ts';
import { FailedError, RefusedError } from '../../errors.ts';
import { fileIdentity } from '../../storage/file.ts';
import { dataFileName } from '../data/data-file.ts';

export interface SharedImage {
  /** Number of images above it in `chain`; 0 is the top. */
  readonly depth: number;
  readonly path: string;
}

/**
 * The images of `chain` that share their file or external data file with an image of `other`; top first. An
 * image that cannot be opened ends the list: data from it or from below it cannot be read.
 */
export async function sharedImages(chain: Chain, other: Chain): Promise<SharedImage[]> {
  const files = new Set<string>();
  for (const layer of (await reachableLayers(other)).layers) {
    for (const file of await filesOf(layer)) files.add(file);
  }
  const shared: SharedImage[] = [];
  for (const [depth, layer] of (await reachableLayers(chain)).layers.entries()) {
    if ((await filesOf(layer)).some((file) => files.has(file))) shared.push({ depth, path: layer.path });
  }
  return shared;
}

/** Device and inode of each file with data of the image. */
async function filesOf(layer: Layer): Promise<string[]> {
  const { identity } = layer.storage;
  if (layer.format === 'raw' || !layer.image.header.hasDataFile) return [identity];
  try {
    return [identity, await fileIdentity(dataFileName(layer.image))];
  } catch (error) {
    if (error instanceof RefusedError || error instanceof FailedError) return [identity];
    throw error;
  }
}
