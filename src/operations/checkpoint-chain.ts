/**
 * The backing chain of one disk, with what each of its images has of checkpoints.
 */
import { allLayers, type Chain } from '../chain/chain.ts';
import type { Layer } from '../chain/layer.ts';
import { type BitmapState, originIndex, stateOfEntry } from '../checkpoint/bitmap-state.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import { readBitmapDirectory } from '../image/bitmap-directory.ts';

export interface ChainImage {
  readonly layer: Layer;
  /** What QEMU would see, in the order of the directory. */
  readonly present: readonly BitmapDirectoryEntry[];
  /** `present` by name; of an outdated directory, what it had. */
  readonly bitmaps: ReadonlyMap<string, BitmapDirectoryEntry>;
}

/** Reads the directories of all images, top first. */
export async function readChainImages(chain: Chain): Promise<ChainImage[]> {
  const images: ChainImage[] = [];
  for (const layer of await allLayers(chain)) images.push(await readChainImage(layer));
  return images;
}

export async function readChainImage(layer: Layer): Promise<ChainImage> {
  if (layer.format === 'raw') return { layer, present: [], bitmaps: new Map() };
  const present = await readBitmapDirectory(layer.image);
  return { layer, present, bitmaps: new Map(present.map((entry) => [entry.name, entry])) };
}

export function stateIn({ layer, bitmaps }: ChainImage, name: string): BitmapState {
  const entry = bitmaps.get(name);
  if (entry === undefined || layer.format === 'raw') return 'missing';
  return layer.image.bitmaps.kind === 'live' ? stateOfEntry(entry) : 'stale';
}

/** Index of the lowest image that has the bitmap. */
export function originOf(images: readonly ChainImage[], name: string): number | undefined {
  return originIndex(images.map((image) => stateIn(image, name)));
}

/** Every name that the chain has, those of the base first: as a rule the older ones. */
export function namesOf(images: readonly ChainImage[]): string[] {
  return [...new Set(images.toReversed().flatMap(({ bitmaps }) => [...bitmaps.keys()]))];
}
