/**
 * The backing chain of one disk, with the checkpoint bitmaps of each image.
 */
import type { DirtyBitmap } from '../../bitmap/dirty-bitmap.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import { allLayers, type Chain } from '../../chain/chain.ts';
import type { Layer } from '../../chain/layer.ts';
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';
import { examineDirectory, readBitmapDirectory } from '../../image/stored-bitmaps.ts';
import { type BitmapState, lowestHolderIndex, stateOfEntry } from './bitmap-state.ts';

export interface ChainImage {
  readonly layer: Layer;
  /** The bitmaps that QEMU sees, in the order of the directory. */
  readonly present: readonly BitmapDirectoryEntry[];
  /** `present` by name. For an outdated or broken directory: its readable entries. */
  readonly bitmaps: ReadonlyMap<string, BitmapDirectoryEntry>;
  /** Bitmaps whose directory entry or table is broken: all, or those names. */
  readonly unreadable: 'all' | ReadonlySet<string>;
  /** A program has the image open for writing. In-use bitmaps are then normal. */
  readonly isBeingWritten: boolean;
  /** Set if a running QEMU has the image open. Bitmaps are then changed in QEMU, not in the file. */
  readonly running?: RunningState | undefined;
}

interface RunningState {
  /** Set while QEMU writes to the image. The file alone does not show current allocation and marks. */
  readonly reader?: RunningReader | undefined;
}

export interface RunningReader {
  /** The allocated ranges of the image. */
  readAllocated(granularityBits: number): Promise<DirtyBitmap>;
  /** The marks of a bitmap. For an inconsistent bitmap: its remaining marks, or undefined if none remain. */
  readMarks(name: string): Promise<DirtyBitmap | undefined>;
}

/**
 * Reads the directories of all images, top first.
 *
 * @throws RefusedError for a directory by which QEMU refuses the image
 */
export async function readChainImages(chain: Chain): Promise<ChainImage[]> {
  const images: ChainImage[] = [];
  for (const layer of await allLayers(chain)) {
    const isLive = layer.format === 'qcow2' && layer.image.bitmaps.kind === 'live';
    if (isLive) images.push(chainImage(layer, await readBitmapDirectory(layer.image)));
    else images.push(await examineChainImage(layer));
  }
  return images;
}

/** The same for one image, with a directory in any state. */
export async function examineChainImage(layer: Layer): Promise<ChainImage> {
  if (layer.format === 'raw') return chainImage(layer, []);
  const { entries } = await examineDirectory(layer.image);
  return chainImage(
    layer,
    entries.flatMap(({ entry }) => entry ?? []),
  );
}

function chainImage(layer: Layer, entries: readonly BitmapDirectoryEntry[]): ChainImage {
  const isLive = layer.format === 'qcow2' && layer.image.bitmaps.kind === 'live';
  return {
    layer,
    present: isLive ? entries : [],
    bitmaps: new Map(entries.map((entry) => [entry.name, entry])),
    unreadable: new Set(),
    isBeingWritten: false,
  };
}

export function stateIn(
  { layer, bitmaps, unreadable, isBeingWritten, running }: ChainImage,
  name: string,
): BitmapState {
  if (layer.format === 'raw') return 'missing';
  const entry = bitmaps.get(name);
  if (running?.reader !== undefined) return entry === undefined ? 'missing' : stateOfEntry(entry);
  if (unreadable === 'all') return 'unreadable';
  if (entry === undefined) return isBeingWritten ? 'unknown' : 'missing';
  if (layer.image.bitmaps.kind === 'stale') return 'stale';
  if (unreadable.has(name)) return 'unreadable';
  const state = stateOfEntry(entry);
  return state === 'in-use' && isBeingWritten ? 'recording' : state;
}

/** The marks of a bitmap that is neither broken nor outdated. */
export async function readMarks({ layer, bitmaps, running }: ChainImage, name: string): Promise<DirtyBitmap> {
  const marks = await running?.reader?.readMarks(name);
  if (marks !== undefined) return marks;
  if (layer.format === 'raw') throw new Error(`${layer.path}: a raw image has no bitmaps`);
  return readBitmap(layer.image, bitmaps.get(name)!);
}

/** Index of the lowest image that has the bitmap, in any state. */
export function lowestHolder(images: readonly ChainImage[], name: string): number | undefined {
  return lowestHolderIndex(images.map((image) => stateIn(image, name)));
}

/** Every bitmap name in the chain. Names of the base come first, because they are usually older. */
export function namesOf(images: readonly ChainImage[]): string[] {
  return [...new Set(images.toReversed().flatMap(({ bitmaps }) => [...bitmaps.keys()]))];
}
