/**
 * The backing chain of one disk, with what each of its images has of checkpoints.
 */
import { allLayers, type Chain } from '../chain/chain.ts';
import type { Layer, Qcow2Layer } from '../chain/layer.ts';
import { type BitmapState, originIndex, stateOfEntry } from '../checkpoint/bitmap-state.ts';
import { RefusedError } from '../errors.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import { examineDirectory, readBitmapDirectory, readBitmapTable } from '../image/bitmap-directory.ts';

export interface ChainImage {
  readonly layer: Layer;
  /** What QEMU would see, in the order of the directory. */
  readonly present: readonly BitmapDirectoryEntry[];
  /** `present` by name; of an outdated or broken directory what can be read of it. */
  readonly bitmaps: ReadonlyMap<string, BitmapDirectoryEntry>;
  /** What cannot be trusted to be what the directory says: all, or those names. */
  readonly unreadable: 'all' | ReadonlySet<string>;
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
    if (isLive) images.push(chainImage(layer, await readBitmapDirectory(layer.image), new Set()));
    else images.push(await examineChainImage(layer));
  }
  return images;
}

/** The same of one image, whatever state its directory is in. */
export async function examineChainImage(layer: Layer): Promise<ChainImage> {
  if (layer.format === 'raw') return chainImage(layer, [], new Set());
  const { entries, violations } = await examineDirectory(layer.image);
  const readable = entries.flatMap((each) => each.entry ?? []);
  const isBroken = layer.image.bitmaps.kind === 'broken' || violations.length > 0;
  return chainImage(layer, readable, isBroken ? 'all' : await unreadableBitmaps(layer, readable));
}

function chainImage(
  layer: Layer,
  entries: readonly BitmapDirectoryEntry[],
  unreadable: ChainImage['unreadable'],
): ChainImage {
  const isLive = layer.format === 'qcow2' && layer.image.bitmaps.kind === 'live';
  return {
    layer,
    present: isLive ? entries : [],
    bitmaps: new Map(entries.map((entry) => [entry.name, entry])),
    unreadable,
  };
}

async function unreadableBitmaps(
  { image }: Qcow2Layer,
  entries: readonly BitmapDirectoryEntry[],
): Promise<Set<string>> {
  const names = new Set<string>();
  if (image.bitmaps.kind !== 'live') return names;
  for (const entry of entries) {
    try {
      await readBitmapTable(image, entry);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      names.add(entry.name);
    }
  }
  return names;
}

export function stateIn({ layer, bitmaps, unreadable }: ChainImage, name: string): BitmapState {
  if (layer.format === 'raw') return 'missing';
  const isStale = layer.image.bitmaps.kind === 'stale';
  if (!isStale && (unreadable === 'all' || unreadable.has(name))) return 'unreadable';
  const entry = bitmaps.get(name);
  if (entry === undefined) return 'missing';
  return isStale ? 'stale' : stateOfEntry(entry);
}

/** Index of the lowest image that has the bitmap. */
export function originOf(images: readonly ChainImage[], name: string): number | undefined {
  return originIndex(images.map((image) => stateIn(image, name)));
}

/** Every name that the chain has, those of the base first: as a rule the older ones. */
export function namesOf(images: readonly ChainImage[]): string[] {
  return [...new Set(images.toReversed().flatMap(({ bitmaps }) => [...bitmaps.keys()]))];
}
