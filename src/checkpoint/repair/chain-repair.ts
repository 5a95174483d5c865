/**
 * Plans the repair of the checkpoints of one disk: the bitmaps that each image of its chain gets.
 */
import { defaultGranularityBits } from '../../bitmap/granularity.ts';
import type { Chain } from '../../chain/chain.ts';
import type { Qcow2Layer } from '../../chain/layer.ts';
import { parseReference } from '../../chain/reference.ts';
import { RefusedError, UsageError } from '../../errors.ts';
import { readActiveTables, requireWritable } from '../../image/image.ts';
import type { ProgressOptions } from '../../image/progress.ts';
import { tableReading } from '../../image/table-progress.ts';
import { fileIdentity } from '../../storage/file.ts';
import { type ChainImage, lowestHolder, stateIn } from '../chain/chain-images.ts';
import {
  type CheckpointChoice,
  chooseCheckpoints,
  type KnownCheckpoint,
} from '../known/choose-checkpoints.ts';
import { originFrom } from '../known/origin-evidence.ts';
import { requireStorableName } from '../names.ts';
import { judge } from '../verdict/verdict.ts';
import { findOrigin, isOriginOpen } from './find-origin.ts';
import { type ImageRepair, planImageRepair, type Task } from './image-repair.ts';
import { type GivenAt, givenFor, type KnownChanges } from './known-changes.ts';

export interface RepairTarget {
  /** Only these checkpoints. */
  readonly names?: readonly string[] | undefined;
  /** Recorded checkpoints. Undefined if only the chain is known. */
  readonly known?: readonly KnownCheckpoint[] | undefined;
  /**
   * The image that was active when certain checkpoints were made. These are the named checkpoints, or those
   * without a bitmap in any image.
   */
  readonly statedOrigin?: string | undefined;
  /** A source of the changes since a checkpoint that a person has named. */
  readonly changes?: KnownChanges | undefined;
}

export interface DiskRepair extends CheckpointChoice {
  readonly chain: Chain;
  /**
   * Whether libvirt accepts the checkpoint before the repair, and a backup from it is complete. In the order
   * of `chosen`.
   */
  readonly wasValid: readonly boolean[];
  /** Images in which the checkpoints have bitmaps, top first. */
  readonly images: readonly ImageRepair[];
}

/** A checkpoint, and the lowest image in which its bitmap must be valid. */
interface PlacedCheckpoint {
  readonly checkpoint: KnownCheckpoint;
  readonly originIndex: number;
  /** The changes that its bitmap in that image gets from the source that a person named. */
  readonly given: GivenAt | undefined;
}

/**
 * @throws RefusedError when a checkpoint cannot be made valid, or only by a guess
 */
export async function planRepair(
  chain: Chain,
  images: readonly ChainImage[],
  { names, known, statedOrigin, changes }: RepairTarget,
  options: ProgressOptions,
): Promise<DiskRepair> {
  const choice = chooseCheckpoints(images, names, known);
  const statedIndex = statedOrigin === undefined ? undefined : await indexOfImage(images, statedOrigin);
  const given = await givenFor(images, choice.chosen, changes, statedIndex);
  const placed = choice.chosen.map(
    (checkpoint, position): PlacedCheckpoint => ({
      checkpoint,
      given: given[position],
      originIndex: given[position]?.index ?? findOrigin(images, checkpoint, statedIndex, names !== undefined),
    }),
  );
  if (statedIndex !== undefined && names === undefined && placed.length > 0) {
    const isUsed = placed.some(({ checkpoint }) => isOriginOpen(images, checkpoint));
    if (!isUsed) throw unusedOrigin(statedOrigin!);
  }
  const lowest = Math.max(-1, ...placed.map(({ originIndex }) => originIndex));
  const holders = images.slice(0, lowest + 1).map(requireHolder);
  const tasks = await tasksOf(images, holders, placed, known, statedIndex);
  const tables = await Promise.all(holders.map(({ image }) => readActiveTables(image)));
  const reading = tableReading(tables, options);

  const repairs: ImageRepair[] = [];
  for (const [index, layer] of holders.entries()) {
    const target = { ...images[index]!, layer, tables: tables[index]! };
    repairs.push(await planImageRepair(target, tasks[index]!, reading));
  }
  const wasValid = placed.map(({ checkpoint, originIndex }) =>
    isValid(images, repairs, checkpoint.name, originIndex),
  );
  for (const { checkpoint, originIndex } of placed) {
    requireValid(images, repairs, checkpoint.name, originIndex);
  }
  return { ...choice, chain, wasValid, images: repairs };
}

/** The tasks of each image that gets bitmaps. */
async function tasksOf(
  images: readonly ChainImage[],
  holders: readonly Qcow2Layer[],
  placed: readonly PlacedCheckpoint[],
  known: readonly KnownCheckpoint[] | undefined,
  statedIndex: number | undefined,
): Promise<Task[][]> {
  const ancestry = new Map(known?.map((checkpoint) => [checkpoint.name, checkpoint]));
  const chosen = new Set(placed.map(({ checkpoint }) => checkpoint.name));
  const tasks: Task[][] = [];
  for (const [index, layer] of holders.entries()) {
    tasks[index] = [];
    for (const { checkpoint, originIndex, given } of placed) {
      if (originIndex < index) continue;
      const older = olderThan(checkpoint, images, index, ancestry, chosen);
      const task = taskIn(images, layer, index, checkpoint, { originIndex, statedIndex, older });
      tasks[index].push(
        given === undefined || index !== originIndex
          ? task
          : { ...task, isAgreed: true, given: await given.read(task.granularityBits) },
      );
    }
  }
  return tasks;
}

function isActive({ running }: ChainImage): boolean {
  return running?.reader !== undefined;
}

/** Whether the checkpoint is valid before any repair. */
function isValid(
  images: readonly ChainImage[],
  repairs: readonly ImageRepair[],
  name: string,
  originIndex: number,
): boolean {
  const before = images.map((image, index) => ({
    ...holding(image),
    state: stateIn(image, name),
    missingBytes: repairs[index]?.uncovered.get(name) ?? 0,
  }));
  return judge(name, before, { kind: 'in-chain', index: originIndex, isCertain: true }).problems.length === 0;
}

function holding({ layer }: ChainImage) {
  return { image: layer.path, virtualSizeBytes: layer.virtualSizeBytes };
}

/** @param name of an image of the chain */
async function indexOfImage(images: readonly ChainImage[], name: string): Promise<number> {
  const identity = await fileIdentity(parseReference(name, undefined).path);
  return images.findIndex(({ layer }) => layer.storage.identity === identity);
}

/** An origin that a person names must be used: the chain alone may show a later one. */
function unusedOrigin(origin: string): UsageError {
  return new UsageError(
    `origin ${origin} is unused: the chain shows, or seems to show, where every checkpoint began`,
    { remedy: { kind: 'name-checkpoint-of-origin' } },
  );
}

/** @throws RefusedError when the image cannot have or get a bitmap */
function requireHolder(holder: ChainImage): Qcow2Layer {
  const { layer, present } = holder;
  if (layer.format === 'raw') {
    throw new RefusedError(
      'UNSUPPORTED',
      `${layer.path}: a raw image cannot hold the bitmap of a checkpoint`,
      {
        remedy: { kind: 'name-higher-origin' },
        context: { file: layer.path },
      },
    );
  }
  // While QEMU writes to the image, a set dirty bit is normal.
  if (!isActive(holder)) requireWritable(layer.image);
  const names = new Set(present.map(({ name }) => name));
  if (names.size < present.length) {
    throw new RefusedError(
      'BITMAP_INCONSISTENT',
      `${layer.path}: two bitmaps of its directory have the same name`,
      {
        remedy: { kind: 'repair-directory', file: layer.path },
        context: { file: layer.path },
      },
    );
  }
  return layer;
}

function taskIn(
  images: readonly ChainImage[],
  { image }: Qcow2Layer,
  index: number,
  { name }: KnownCheckpoint,
  {
    originIndex,
    statedIndex,
    older,
  }: { originIndex: number; statedIndex: number | undefined; older: string | undefined },
): Task {
  const has = ({ bitmaps }: ChainImage) => bitmaps.has(name);
  // A new bitmap gets the granularity of the nearest bitmap below, as in libvirt's own snapshots.
  const holder = images.slice(index).find(has) ?? images.slice(0, index).findLast(has);
  const model = holder?.bitmaps.get(name);
  if (model === undefined) requireStorableName(name);
  return {
    name,
    nameBytes: model?.nameBytes ?? new TextEncoder().encode(name),
    older,
    given: undefined,
    isOrigin: index === originIndex,
    // A person who names the origin consents to the repair there.
    isAgreed: index === originIndex && index === statedIndex && !has(images[index]!),
    granularityBits: model?.granularityBits ?? defaultGranularityBits(image.header),
  };
}

/**
 * The nearest ancestor whose bitmap in an image has all marks that the checkpoint's bitmap needs. The
 * ancestor is repaired in the same run, or it began in that image and its bitmap is good.
 */
function olderThan(
  { parent }: KnownCheckpoint,
  images: readonly ChainImage[],
  index: number,
  known: ReadonlyMap<string, KnownCheckpoint>,
  chosen: ReadonlySet<string>,
): string | undefined {
  for (let name = parent; name !== undefined; name = known.get(name)?.parent) {
    const ancestor = known.get(name);
    if (ancestor === undefined) return undefined;
    if (chosen.has(name)) return name;
    const isFit = originFrom(ancestor.origin, lowestHolder(images, name)) === index;
    if (isFit && stateIn(images[index]!, name) === 'good') return name;
  }
  return undefined;
}

/** Checks the result of the plan against libvirt's rule. */
function requireValid(
  images: readonly ChainImage[],
  repairs: readonly ImageRepair[],
  name: string,
  originIndex: number,
): void {
  const after = images.map((image, index) => ({
    ...holding(image),
    state:
      index <= originIndex && repairs[index]!.uncovered.has(name) ? ('good' as const) : stateIn(image, name),
    missingBytes: 0,
  }));
  const [problem] = judge(name, after).problems;
  if (problem === undefined) return;
  throw new RefusedError(
    problem.code === 'size-mismatch' ? 'SIZE_MISMATCH' : 'BITMAP_INCONSISTENT',
    problem.message,
    {
      remedy: problem.code === 'size-mismatch' ? { kind: 'equalize-sizes' } : undefined,
      context: { file: images[0]!.layer.path, bitmap: name },
    },
  );
}
