/**
 * Inspects every image of a chain, with a single pass over the tables of each.
 */
import type { Layer } from '../../chain/layer.ts';
import { RefusedError } from '../../errors.ts';
import { type ActiveTables, readActiveTables } from '../../image/image.ts';
import type { ProgressOptions } from '../../image/progress.ts';
import { tableReading } from '../../image/table-progress.ts';
import { type ChainImage, namesOf, stateIn } from '../chain/chain-images.ts';
import { type InspectedImage, inspectChainImage } from '../chain/inspect-chain-image.ts';
import type { KnownCheckpoint } from '../known/choose-checkpoints.ts';
import { firstPossible } from '../known/origin-evidence.ts';
import type { Holding } from './verdict.ts';

interface InspectOptions extends ProgressOptions {
  /** The images were opened although other programs may use them. */
  readonly forceShare?: boolean | undefined;
}

/**
 * @param examined top first
 * @param known checkpoints with the image in which they began
 */
export async function inspectChain(
  examined: readonly ChainImage[],
  known: readonly KnownCheckpoint[],
  { forceShare, ...options }: InspectOptions,
): Promise<InspectedImage[]> {
  const tables: (ActiveTables | undefined)[] = [];
  for (const { layer } of examined) tables.push(await readTables(layer));
  const reading = tableReading(
    tables.filter((each) => each !== undefined),
    options,
  );
  const images: InspectedImage[] = [];
  for (const [index, image] of examined.entries()) {
    // Content of the origin may be older than the checkpoint.
    const below = new Set([
      ...namesOf(examined.slice(index + 1)),
      ...known.filter(({ origin }) => firstPossible(origin) > index).map(({ name }) => name),
    ]);
    const covering = [...image.bitmaps.keys()].filter((name) => below.has(name));
    images.push(await inspectChainImage(image, tables[index], covering, forceShare === true, reading));
  }
  return images;
}

/** Undefined if they cannot be read: the inspection reports it. */
async function readTables(layer: Layer): Promise<ActiveTables | undefined> {
  if (layer.format === 'raw') return undefined;
  try {
    return await readActiveTables(layer.image);
  } catch (error) {
    if (error instanceof RefusedError) return undefined;
    throw error;
  }
}

/** The state of a checkpoint's bitmap in each image, top first. */
export function holdingsOf(images: readonly InspectedImage[], name: string): Holding[] {
  return images.map((image) => ({
    image: image.layer.path,
    state: stateIn(image, name),
    virtualSizeBytes: image.layer.virtualSizeBytes,
    missingBytes: image.missingBytes.get(name) ?? 0,
  }));
}
