/**
 * Creates a checkpoint of a guest that is off: an empty, enabled bitmap in the active image of every disk, or
 * of none.
 */
import { cleanBitmap, dirtyBytes } from '../../bitmap/dirty-bitmap.ts';
import { defaultGranularityBits, granularityBitsOf, requireStorableSize } from '../../bitmap/granularity.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import { allLayers, type Chain } from '../../chain/chain.ts';
import type { Qcow2Layer } from '../../chain/layer.ts';
import { type ChainImage, readChainImages } from '../../checkpoint/chain/chain-images.ts';
import { type CheckpointFiles, readRecords } from '../../checkpoint/known/known-checkpoints.ts';
import { checkpointXml } from '../../checkpoint/xml/encode-checkpoint.ts';
import { RefusedError, UsageError } from '../../errors.ts';
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';
import { requireWritable } from '../../image/image.ts';
import { refuseStaleBitmaps } from '../../image/stored-bitmaps.ts';
import { storeNew, withStores } from '../../plan/bitmap-slot.ts';
import { type Plan, refuseGrowingDevice } from '../../plan/plan.ts';
import { formatSize } from '../../text/size.ts';
import {
  type ChangeOptions,
  type PlanReport,
  planFor,
  refuseForceShare,
  reportPlan,
} from '../change-bitmaps.ts';
import { requireQcow2 } from '../open-qcow2.ts';
import { checkpointDisks, requireCheckpointName } from './checkpoint-disks.ts';
import { newestCheckpoint } from './newest-checkpoint.ts';
import { openChainsToChange } from './open-chains.ts';
import { storeCheckpoint } from './store-checkpoint.ts';

export interface CreateCheckpointOptions extends ChangeOptions, CheckpointFiles {
  /** Granularity of the bitmaps in bytes. Default: QEMU's default for each image. */
  readonly granularity?: number | undefined;
  /** Default: the newest checkpoint that all disks have. */
  readonly parent?: string | undefined;
  /** In seconds since 1970. Default: now. */
  readonly time?: number | undefined;
  /** Path of a new file for the checkpoint's XML. */
  readonly output?: string | undefined;
}

export interface CheckpointedDisk {
  readonly image: string;
  /** The name of the disk in the checkpoint. */
  readonly disk: string;
  /** `present`: an interrupted earlier run has added the bitmap, and it marks nothing yet. */
  readonly action: 'created' | 'present';
  readonly granularity: number;
  /** null when nothing had to be written. */
  readonly plan: PlanReport | null;
}

export interface CreateCheckpointResult {
  readonly schema: 1;
  readonly checkpoint: string;
  readonly parent: string | null;
  /** Seconds since 1970. */
  readonly creationTime: number;
  readonly dryRun: boolean;
  readonly disks: readonly CheckpointedDisk[];
  /** The input for `virsh checkpoint-create --redefine`. */
  readonly xml: string;
  /** The file with the XML; null if none was requested, or for a dry run. */
  readonly file: string | null;
}

interface PlannedDisk {
  readonly layer: Qcow2Layer;
  readonly images: readonly ChainImage[];
  readonly action: CheckpointedDisk['action'];
  readonly granularityBits: number;
  readonly plan: Plan | undefined;
}

/**
 * Plans all disks, then writes unless it is a dry run. If a disk fails, the bitmap is removed from the disks
 * before it. After a power cut between two disks, the same call adds the bitmap to the remaining disks.
 *
 * @param imageNames the active image of each disk
 * @throws RefusedError when a disk has a checkpoint of that name, or cannot have one; nothing was written
 * then
 * @throws FailedError when a write fails; the message says what is on disk
 */
export async function createCheckpoint(
  name: string,
  imageNames: readonly string[],
  options: CreateCheckpointOptions = {},
): Promise<CreateCheckpointResult> {
  requireCheckpointName(name);
  if (options.parent !== undefined) requireCheckpointName(options.parent);
  if (options.parent === name) throw new UsageError(`checkpoint "${name}" cannot be its own parent`);
  refuseForceShare(options);
  const disks = checkpointDisks(imageNames, options);
  const chains: Chain[] = [];
  try {
    await openChainsToChange(imageNames, options, chains);
    await refuseSharedTops(chains);
    const planned: PlannedDisk[] = [];
    for (const chain of chains) planned.push(await planDisk(name, chain, options));
    const { time: creationTime = Math.floor(Date.now() / 1000) } = options;
    const parent = options.parent ?? (await newestKnown(name, planned, options));
    const xml = checkpointXml({
      name,
      parent,
      creationTime,
      description: undefined,
      disks: disks.map((disk) => ({
        name: disk,
        checkpoint: 'bitmap',
        bitmap: name,
        target: undefined,
        source: undefined,
      })),
    });
    options.signal?.throwIfAborted();
    if (!options.dryRun) await storeCheckpoint(name, planned, xml, options);
    return {
      schema: 1,
      checkpoint: name,
      parent: parent ?? null,
      creationTime,
      dryRun: options.dryRun === true,
      disks: planned.map(({ layer, action, granularityBits, plan }, position) => ({
        image: layer.path,
        disk: disks[position]!,
        action,
        granularity: 2 ** granularityBits,
        plan: plan === undefined ? null : reportPlan(layer.image, plan, options.dryRun === true),
      })),
      xml,
      file: options.dryRun ? null : (options.output ?? null),
    };
  } finally {
    await Promise.all(chains.map((chain) => chain.close()));
  }
}

/** An image that is written for one disk must not be in the chain of another disk. */
async function refuseSharedTops(chains: readonly Chain[]): Promise<void> {
  const layers = (await Promise.all(chains.map(allLayers))).flat();
  const identities = layers.map(({ storage }) => storage.identity);
  for (const { top } of chains) {
    if (identities.filter((each) => each === top.storage.identity).length < 2) continue;
    throw new UsageError(`${top.path}: is named twice, or lies below another of the images`, {
      remedy: { kind: 'name-active-images-once' },
      context: { file: top.path },
    });
  }
}

async function planDisk(name: string, chain: Chain, options: CreateCheckpointOptions): Promise<PlannedDisk> {
  const layer = requireQcow2(chain);
  const { image } = layer;
  requireWritable(image);
  refuseStaleBitmaps(image);
  const images = await readChainImages(chain);
  const [{ present }, ...below] = images as [ChainImage, ...ChainImage[]];
  const lower = below.find(({ bitmaps }) => bitmaps.has(name));
  if (lower !== undefined)
    throw exists(layer.path, name, `${lower.layer.path} below it has a bitmap of that name`);
  const { granularity } = options;
  const asked = granularity === undefined ? undefined : granularityBitsOf(granularity);
  const own = present.find((entry) => entry.name === name);
  if (own !== undefined) {
    await requireFresh(layer, own, asked);
    return { layer, images, action: 'present', granularityBits: own.granularityBits, plan: undefined };
  }
  const granularityBits = asked ?? defaultGranularityBits(image.header);
  requireStorableSize(image, granularityBits);
  const bitmap = cleanBitmap(image.header.virtualSizeBytes, granularityBits);
  const wanted = withStores(present, [storeNew(name, true, bitmap)]);
  const plan = await planFor(image, { present, wanted }, options);
  if (!options.ignoreDeviceEnd) refuseGrowingDevice(image.storage, plan);
  return { layer, images, action: 'created', granularityBits, plan };
}

/** A bitmap without marks equals a new one: the disk has not been written to since the bitmap was made. */
async function requireFresh(
  { path, image }: Qcow2Layer,
  entry: BitmapDirectoryEntry,
  asked: number | undefined,
): Promise<void> {
  const { name, inUse, auto, granularityBits } = entry;
  if (inUse) throw exists(path, name, 'it is marked in-use');
  if (!auto) throw exists(path, name, 'it is disabled');
  const markedBytes = dirtyBytes(await readBitmap(image, entry));
  if (markedBytes > 0) throw exists(path, name, `it marks ${formatSize(markedBytes)}`);
  if (asked !== undefined && asked !== granularityBits)
    throw exists(path, name, `it has a granularity of ${2 ** granularityBits}`);
}

function exists(path: string, name: string, state: string): RefusedError {
  return new RefusedError('BITMAP_EXISTS', `${path}: there is a bitmap "${name}" already: ${state}`, {
    remedy: { kind: 'choose-other-name-or-change', file: path, name },
    context: { file: path, bitmap: name },
  });
}

async function newestKnown(
  name: string,
  planned: readonly PlannedDisk[],
  options: CreateCheckpointOptions,
): Promise<string | undefined> {
  const { checkpoints, disks } = options;
  // The disk names are also for the new checkpoint, so they may be given without files.
  const files = checkpoints === undefined ? {} : { checkpoints, disks };
  const records = await readRecords(files, planned.length, options);
  const known = await records?.of(planned.map(({ images }) => images));
  const others = planned.map(({ images }) =>
    images.map((image) => ({
      ...image,
      bitmaps: new Map([...image.bitmaps].filter(([each]) => each !== name)),
    })),
  );
  return newestCheckpoint(others, known && [...new Set(known.flat().map((checkpoint) => checkpoint.name))]);
}
