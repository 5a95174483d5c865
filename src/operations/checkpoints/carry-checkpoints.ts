/**
 * Copies the checkpoints of a chain into one image that replaces it: before a commit, or after a flatten or a
 * move.
 */
import {
  cleanBitmap,
  countMissingMarks,
  type DirtyBitmap,
  dirtyBytes,
  markRange,
  mergeInto,
} from '../../bitmap/dirty-bitmap.ts';
import { requireBitmapMemory } from '../../bitmap/granularity.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import { allLayers, type Chain } from '../../chain/chain.ts';
import { parseReference } from '../../chain/reference.ts';
import { type ChainImage, readChainImages, readMarks, stateIn } from '../../checkpoint/chain/chain-images.ts';
import { chooseCheckpoints } from '../../checkpoint/known/choose-checkpoints.ts';
import { requireStorableName } from '../../checkpoint/names.ts';
import { RefusedError } from '../../errors.ts';
import { bitmapBytes } from '../../format/bitmap-directory.ts';
import { layerBitmap } from '../../guest/allocation/layer-bitmap.ts';
import { readActiveTables } from '../../image/image.ts';
import { scanActiveTables } from '../../image/scan.ts';
import { tableReading } from '../../image/table-progress.ts';
import { type StoreSlot, store, storeNew, withStores } from '../../plan/bitmap-slot.ts';
import { SECTOR_BYTES } from '../../storage/storage.ts';
import { findBitmap } from '../bitmaps/find-bitmap.ts';
import {
  type ChangeOptions,
  changeBitmaps,
  type ImageToChange,
  type PlanReport,
  withImageToChange,
} from '../change-bitmaps.ts';
import { compareChains, requireSameSize } from '../compared-disk.ts';
import { withChain } from '../with-chain.ts';
import { checkpointReader } from './checkpoint-reader.ts';

export interface CarryOptions extends ChangeOptions {
  /** Only these checkpoints. Default: all of the chain. */
  readonly names?: readonly string[] | undefined;
}

export interface CarriedBitmap {
  readonly name: string;
  readonly action: 'created' | 'merged' | 'unchanged';
  readonly granularity: number;
  /** Bytes of the disk that it marks now. */
  readonly dirtyBytes: number;
}

export interface CarryResult {
  readonly schema: 1;
  readonly image: string;
  /** The active image of the chain that has the checkpoints. */
  readonly from: string;
  readonly virtualSize: number;
  readonly bitmaps: readonly CarriedBitmap[];
  /**
   * Bytes of sectors in which the two disks differ. All bitmaps mark these sectors too. null if the image is
   * part of that chain: then a commit makes the disks equal, and QEMU records its writes.
   */
  readonly differingBytes: number | null;
  readonly dryRun: boolean;
  /** null when nothing had to be written. */
  readonly plan: PlanReport | null;
}

/**
 * Stores each checkpoint in the image: the union of its bitmaps in the chain, and the differences between the
 * two disks.
 *
 * @param from the active image of the chain that has the checkpoints
 * @param imageName the image that replaces the chain
 * @throws RefusedError when a checkpoint of the chain is not valid, or the disks have different sizes. Also
 * when the image has a bitmap of that name that is disabled or in use, or the images above it were already
 * committed into it
 */
export async function carryCheckpoints(
  from: string,
  imageName: string,
  options: CarryOptions = {},
): Promise<CarryResult> {
  return withImageToChange(parseReference(imageName, undefined), options, async (target) => {
    const opening = { ...options, heldIdentity: target.identity };
    return withChain(parseReference(from, undefined), opening, (chain) => carry(chain, target, options));
  });
}

async function carry(chain: Chain, target: ImageToChange, options: CarryOptions): Promise<CarryResult> {
  const { image, path, present, tables } = target;
  requireSameSize(target.chain, chain, { remedy: { kind: 'equalize-sizes' } });
  const images = await readChainImages(chain);
  const names = namesToCarry(images, options.names);
  const readCheckpoint = await checkpointReader(chain, options);
  const layers = await allLayers(chain);
  const depth = layers.findIndex(({ storage }) => storage.identity === target.identity);
  if (depth > 0) await refuseEmptied(images.slice(0, depth), names, options);

  const marks = new Map<string, DirtyBitmap>();
  for (const name of names) {
    marks.set(name, await readCheckpoint(name));
    const bytes = [...marks.values()].reduce(
      (sum, { virtualSizeBytes, granularityBits }) => sum + bitmapBytes(virtualSizeBytes, granularityBits),
      0,
    );
    requireBitmapMemory(image, marks.size, bytes);
  }
  const differingBytes = depth < 0 ? await addDifferences([...marks.values()], chain, target, options) : null;

  const bitmaps: CarriedBitmap[] = [];
  const slots: StoreSlot[] = [];
  for (const [name, bitmap] of marks) {
    const { slot, action } = await slotOf(target, name, bitmap);
    if (slot !== undefined) slots.push(slot);
    const stored = slot?.bitmap ?? bitmap;
    const granularity = 2 ** stored.granularityBits;
    bitmaps.push({ name, action, granularity, dirtyBytes: dirtyBytes(stored) });
  }
  const result = {
    schema: 1,
    image: path,
    from: chain.top.path,
    virtualSize: image.header.virtualSizeBytes,
    bitmaps,
    differingBytes,
    dryRun: options.dryRun === true,
  } as const;
  if (slots.length === 0) return { ...result, plan: null };
  const reading = tableReading([tables], options);
  const scan = await scanActiveTables(tables, undefined, reading);
  const change = { present, wanted: withStores(present, slots) };
  return { ...result, plan: await changeBitmaps(scan, change, options, reading) };
}

/**
 * A name whose topmost bitmap is broken may also be a checkpoint. It is refused as invalid and not left
 * behind.
 */
function namesToCarry(images: readonly ChainImage[], names: readonly string[] | undefined): string[] {
  const { chosen, unclear } = chooseCheckpoints(images, names, undefined);
  const all = [...chosen.map(({ name }) => name), ...unclear];
  for (const name of all) requireStorableName(name);
  if (all.length > 0) return all;
  const { path } = images[0]!.layer;
  throw new RefusedError('BITMAP_NOT_FOUND', `${path}: no image of the chain has a bitmap`, {
    context: { file: path },
  });
}

/** QEMU empties an image that it commits. Later writes to the base are then not recorded anywhere. */
async function refuseEmptied(
  above: readonly ChainImage[],
  names: readonly string[],
  options: ChangeOptions,
): Promise<void> {
  for (const chainImage of above) {
    const { layer } = chainImage;
    if (layer.format === 'raw') continue;
    const held = names.filter((name) => stateIn(chainImage, name) === 'good');
    const marked: string[] = [];
    for (const name of held) if (dirtyBytes(await readMarks(chainImage, name)) > 0) marked.push(name);
    if (marked.length === 0) continue;
    const tables = await readActiveTables(layer.image);
    const { virtualSizeBytes } = layer.image.header;
    const form = { content: 'allocated', virtualSizeBytes, granularityBits: 16 } as const;
    const { bitmap } = await layerBitmap(tables, form, tableReading([tables], options));
    if (dirtyBytes(bitmap) > 0) continue;
    throw new RefusedError(
      'BITMAP_INCONSISTENT',
      `${layer.path}: holds nothing, and its bitmap "${marked[0]}" marks something: it was committed already, and what was written below it since is not recorded`,
      {
        remedy: { kind: 'compare-with-backup-of-checkpoint', name: marked[0]! },
        context: { file: layer.path, bitmap: marked[0]! },
      },
    );
  }
}

/**
 * Marks the differences between the two disks, so that the checkpoints include later writes to either disk.
 */
async function addDifferences(
  bitmaps: readonly DirtyBitmap[],
  chain: Chain,
  target: ImageToChange,
  options: ChangeOptions,
): Promise<number> {
  let differingBytes = 0;
  const comparison = {
    unitBytes: SECTOR_BYTES,
    onDifference(offset: number, length: number) {
      differingBytes += length;
      for (const bitmap of bitmaps) markRange(bitmap, offset, length);
    },
  };
  await compareChains(target.chain, chain, comparison, options);
  return differingBytes;
}

async function slotOf(
  { image, present }: ImageToChange,
  name: string,
  marks: DirtyBitmap,
): Promise<{ slot: StoreSlot | undefined; action: CarriedBitmap['action'] }> {
  const entry = findBitmap(present, name);
  if (entry === undefined) return { slot: storeNew(name, true, marks), action: 'created' };
  const { storage } = image;
  if (entry.inUse || !entry.auto) {
    throw new RefusedError(
      'BITMAP_INCONSISTENT',
      `${storage.name}: its own bitmap "${name}" is ${entry.inUse ? 'marked in-use' : 'disabled'}`,
      {
        remedy: { kind: 'remove-bitmap', file: storage.name, name },
        context: { file: storage.name, bitmap: name },
      },
    );
  }
  const old = await readBitmap(image, entry);
  const bitmap = cleanBitmap(old.virtualSizeBytes, entry.granularityBits);
  mergeInto(bitmap, marks);
  if (countMissingMarks(bitmap, old) === 0) return { slot: undefined, action: 'unchanged' };
  mergeInto(bitmap, old);
  return { slot: store(entry, bitmap), action: 'merged' };
}
