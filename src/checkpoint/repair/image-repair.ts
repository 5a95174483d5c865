/**
 * Plans the bitmaps that one image of a chain gets to make the checkpoints of the chain valid.
 */
import {
  cleanBitmap,
  countMissingMarks,
  type DirtyBitmap,
  dirtyBytes,
  mergeInto,
  resample,
} from '../../bitmap/dirty-bitmap.ts';
import { requireBitmapMemory, requireStorableSize } from '../../bitmap/granularity.ts';
import { readInUseMarks } from '../../bitmap/read-bitmap.ts';
import { type Census, takeCensus } from '../../census/census.ts';
import type { Qcow2Layer } from '../../chain/layer.ts';
import { RefusedError } from '../../errors.ts';
import { bitmapBytes } from '../../format/bitmap-directory.ts';
import { layerBitmap } from '../../guest/allocation/layer-bitmap.ts';
import type { ActiveTables } from '../../image/image.ts';
import type { TableReading } from '../../image/read-tables.ts';
import { inspectBitmaps } from '../../inspection/inspect-bitmaps.ts';
import { type StoreSlot, store, withStores } from '../../plan/bitmap-slot.ts';
import { type Plan, refuseGrowingDevice } from '../../plan/plan.ts';
import { planBitmaps } from '../../plan/plan-bitmaps.ts';
import { planDirectoryRepair } from '../../plan/plan-directory-repair.ts';
import type { Consent } from '../../remedy.ts';
import type { BitmapState } from '../chain/bitmap-state.ts';
import { type ChainImage, readMarks, stateIn } from '../chain/chain-images.ts';
import { unreadableIn } from '../chain/inspect-chain-image.ts';
import { decideRepair, type RepairDecision } from './repair-action.ts';

export type RepairableImage = ChainImage & { readonly layer: Qcow2Layer; readonly tables: ActiveTables };

export interface Given {
  readonly marks: DirtyBitmap;
  /**
   * Other possible changes. `nothing`: none. `older`: the changes that an older checkpoint has recorded.
   * `allocated`: the same, or all allocated ranges of the image if no older checkpoint has recorded them.
   */
  readonly besides: 'nothing' | 'older' | 'allocated';
}

/** One checkpoint whose bitmap in an image must be valid. */
export interface Task {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  /** An older checkpoint whose bitmap in this image has all marks that this one needs. */
  readonly older: string | undefined;
  readonly isOrigin: boolean;
  /** The changes since then from the source that a person named; only for the origin. */
  readonly given: Given | undefined;
  /** A person has already given the consent that this bitmap needs. */
  readonly isAgreed: boolean;
  readonly granularityBits: number;
}

export interface RepairedBitmap {
  readonly name: string;
  readonly action: RepairDecision['action'];
  readonly granularity: number;
  /** Bytes of the disk that it marks after the repair. */
  readonly dirtyBytes: number;
  /** Increase over the bytes that it marked before. */
  readonly addedBytes: number;
  /** The consent that a person must give for it. */
  readonly consent: Consent | null;
}

export interface ImageRepair {
  readonly layer: Qcow2Layer;
  readonly bitmaps: readonly RepairedBitmap[];
  /**
   * For each checkpoint, the size of the granules that contain allocated ranges but were not marked in the
   * bitmap.
   */
  readonly uncovered: ReadonlyMap<string, number>;
  /** The new content of each bitmap that is not kept. */
  readonly stores: ReadonlyMap<string, StoreSlot>;
  /** undefined: nothing has to be written to the file. */
  readonly plan: Plan | undefined;
}

/**
 * @param tasks parents before children
 */
export async function planImageRepair(
  target: RepairableImage,
  tasks: readonly Task[],
  reading: TableReading,
): Promise<ImageRepair> {
  const { layer, tables } = target;
  const { image } = layer;
  const form = {
    content: 'allocated',
    virtualSizeBytes: image.header.virtualSizeBytes,
    granularityBits: Math.min(...tasks.map(({ granularityBits }) => granularityBits)),
  } as const;
  const { running } = target;
  const reader = running?.reader;
  const found = reader === undefined ? await layerBitmap(tables, form, reading) : undefined;
  const allocated = found?.bitmap ?? (await reader!.readAllocated(form.granularityBits));
  // QEMU itself allocates clusters for bitmaps in an image that it has open.
  const census = running === undefined ? await takeCensus(found!.scan, reading) : undefined;
  if (census !== undefined) await refuseUnreadable(target, census, tasks, reading);

  const bitmaps: RepairedBitmap[] = [];
  const uncovered = new Map<string, number>();
  /** Equal bitmaps may share one object in memory. */
  const made = new Set<DirtyBitmap>();
  let madeBytes = 0;
  const stores = new Map<string, StoreSlot>();
  for (const task of tasks) {
    const { name, nameBytes, isOrigin, isAgreed, granularityBits } = task;
    const state = stateIn(target, name);
    const old = await readableMarks(target, name);
    const wanted = resample(allocated, granularityBits);
    const missingGranules = old === undefined ? 0 : countMissingMarks(wanted, old);
    uncovered.set(name, missingGranules * 2 ** granularityBits);
    const { action, consent } = decideFor(task, state, old, missingGranules === 0);
    const wantedBytes = bitmapBytes(form.virtualSizeBytes, granularityBits);
    if (action !== 'keep') {
      requireStorableSize(image, granularityBits);
      requireBitmapMemory(image, made.size + 1, madeBytes + wantedBytes);
    }
    const bitmap =
      action === 'keep' && old !== undefined
        ? old
        : united(
            [old, ...(isOrigin ? await originMarks(target, task, wanted, stores) : [wanted])],
            granularityBits,
            image.header.virtualSizeBytes,
          );
    if (action !== 'keep') {
      stores.set(name, store({ name, nameBytes, auto: true }, bitmap));
      if (!made.has(bitmap)) madeBytes += wantedBytes;
      made.add(bitmap);
    }
    bitmaps.push({
      name,
      action,
      granularity: 2 ** granularityBits,
      dirtyBytes: dirtyBytes(bitmap),
      addedBytes: dirtyBytes(bitmap) - (old === undefined ? 0 : dirtyBytes(old)),
      consent: isAgreed ? null : (consent ?? null),
    });
  }
  if (stores.size === 0 || census === undefined) {
    return { layer, bitmaps, uncovered, stores, plan: undefined };
  }
  const plan = await planStores(target, census, stores, reading);
  refuseGrowingDevice(image.storage, plan);
  return { layer, bitmaps, uncovered, stores, plan };
}

/**
 * A bitmap that looks good may share clusters with other data, or its clusters may have no refcount. QEMU has
 * then overwritten the bitmap, or will overwrite it.
 *
 * @throws RefusedError
 */
async function refuseUnreadable(
  { layer }: RepairableImage,
  census: Census,
  tasks: readonly Task[],
  reading: TableReading,
): Promise<void> {
  const { image, path } = layer;
  if (image.bitmaps.kind !== 'live') return;
  const inspection = await inspectBitmaps(census, reading);
  const unreadable = unreadableIn(inspection);
  const broken = tasks.find(({ name }) => unreadable === 'all' || unreadable.has(name));
  if (broken === undefined) return;
  const { name } = broken;
  const errors = inspection.problems.filter(({ severity }) => severity === 'error');
  const problem = errors.find(({ bitmap }) => bitmap === name) ?? errors[0];
  throw new RefusedError(
    'BITMAP_INCONSISTENT',
    `${path}: bitmap "${name}" cannot be relied upon: ${problem?.message ?? 'its directory is broken'}`,
    {
      remedy: { kind: 'repair-directory', file: path, copyFirst: true },
      context: { file: path, bitmap: name },
    },
  );
}

/** The other names of an outdated directory are also kept. Their bitmaps are marked in-use. */
async function planStores(
  target: RepairableImage,
  census: Census,
  stores: ReadonlyMap<string, StoreSlot>,
  reading: TableReading,
): Promise<Plan> {
  if (target.layer.image.bitmaps.kind !== 'stale') {
    return planBitmaps(census, {
      present: target.present,
      wanted: withStores(target.present, stores.values()),
    });
  }
  const inspection = await inspectBitmaps(census, reading);
  const repair = await planDirectoryRepair(inspection, reading, stores);
  return repair.plan!;
}

/** The usable content that is stored under the name. An outdated directory has none. */
async function readableMarks(target: RepairableImage, name: string): Promise<DirtyBitmap | undefined> {
  const entry = target.bitmaps.get(name);
  const { image } = target.layer;
  switch (stateIn(target, name)) {
    case 'missing':
    case 'unknown':
    case 'stale':
    case 'unreadable':
      return undefined;
    case 'good':
    case 'disabled':
    case 'recording':
      return readMarks(target, name);
    case 'in-use': {
      const reader = target.running?.reader;
      return reader === undefined ? readInUseMarks(image, entry!) : reader.readMarks(name);
    }
  }
}

/** A good bitmap of the origin is kept, unless it lacks changes from the source that a person named. */
function decideFor(
  { isOrigin, given }: Task,
  state: BitmapState,
  old: DirtyBitmap | undefined,
  coversAllocated: boolean,
): RepairDecision {
  const decision = decideRepair(state, isOrigin, coversAllocated);
  if (decision.action !== 'keep' || given === undefined || old === undefined) return decision;
  const wanted = resample(given.marks, old.granularityBits);
  return countMissingMarks(wanted, old) === 0 ? decision : { action: 'top-up', consent: undefined };
}

/**
 * The marks that the bitmap of the origin needs. An older checkpoint of the same image has recorded all
 * changes that a younger one needs. Its bitmap marks less than all allocated ranges. An older bitmap is not
 * used if the bitmap of this checkpoint is in use. QEMU leaves all bitmaps of an image in use, so a good
 * older bitmap was created again later.
 */
async function originMarks(
  target: RepairableImage,
  { name, given, older }: Task,
  allocated: DirtyBitmap,
  stores: ReadonlyMap<string, { bitmap: DirtyBitmap }>,
): Promise<(DirtyBitmap | undefined)[]> {
  if (given?.besides === 'nothing') return [given.marks];
  const recorded = stateIn(target, name) === 'in-use' ? undefined : await olderMarks(target, older, stores);
  if (given?.besides === 'older') return [given.marks, recorded];
  return [given?.marks, recorded ?? allocated];
}

/** A kept bitmap is read again, because all bitmaps together may not fit in memory. */
async function olderMarks(
  target: RepairableImage,
  older: string | undefined,
  stores: ReadonlyMap<string, { bitmap: DirtyBitmap }>,
): Promise<DirtyBitmap | undefined> {
  if (older === undefined) return undefined;
  return stores.get(older)?.bitmap ?? readableMarks(target, older);
}

/** Equal bitmaps share one object in memory. */
function united(
  bitmaps: readonly (DirtyBitmap | undefined)[],
  granularityBits: number,
  virtualSizeBytes: number,
): DirtyBitmap {
  const [first, ...more] = bitmaps.filter((each) => each !== undefined);
  if (first !== undefined && more.length === 0) return resample(first, granularityBits);
  const bitmap = cleanBitmap(virtualSizeBytes, granularityBits);
  for (const each of [first, ...more]) if (each !== undefined) mergeInto(bitmap, each);
  return bitmap;
}
