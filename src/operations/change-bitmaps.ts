/**
 * The common steps of all operations that write: open the image alone, plan, and carry out the plan.
 */
import { takeCensus } from '../census/census.ts';
import type { Chain } from '../chain/chain.ts';
import type { ImageReference } from '../chain/reference.ts';
import { UsageError } from '../errors.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import {
  type ActiveTables,
  type BitmapsOpening,
  type Image,
  readActiveTables,
  requireWritable,
} from '../image/image.ts';
import type { TableReading } from '../image/read-tables.ts';
import { type Scan, scanActiveTables } from '../image/scan.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../image/stored-bitmaps.ts';
import { tableReading } from '../image/table-progress.ts';
import { applyPlan } from '../plan/apply-plan.ts';
import { bytesWritten, type Plan, refuseGrowingDevice } from '../plan/plan.ts';
import { type BitmapChange, planBitmaps } from '../plan/plan-bitmaps.ts';
import { requireQcow2 } from './open-qcow2.ts';
import type { OperationOptions } from './options.ts';
import { withChain } from './with-chain.ts';

export interface ChangeOptions extends OperationOptions {
  /** Plan, and write nothing. */
  readonly dryRun?: boolean | undefined;
  /** Plan past the end of a block device, to learn where the new end would be; only with `dryRun`. */
  readonly ignoreDeviceEnd?: boolean | undefined;
}

/** The disk space that a change needs, or has used. */
export interface PlanReport {
  readonly claimedClusters: number;
  /** Bytes of the claimed clusters. */
  readonly claimedBytes: number;
  readonly releasedClusters: number;
  /** Bytes of the released clusters, which later writes to the image can use. */
  readonly releasedBytes: number;
  readonly bytesWritten: number;
  /** Size of the image file afterwards, in bytes. */
  readonly newEndOffset: number;
  /** Every write and flush in order; only for a dry run. */
  readonly steps?: readonly {
    readonly kind: 'write' | 'flush';
    readonly reason: string;
    readonly offset?: number;
    readonly length?: number;
  }[];
}

export interface ImageToChange {
  readonly chain: Chain;
  readonly image: Image;
  readonly path: string;
  /** Device and inode of its file. */
  readonly identity: string;
  readonly present: readonly BitmapDirectoryEntry[];
  readonly tables: ActiveTables;
}

/** Opens an image for a change, runs `work`, and closes all that was opened. */
export async function withImageToChange<T>(
  reference: ImageReference,
  options: ChangeOptions,
  work: (target: ImageToChange) => Promise<T>,
): Promise<T> {
  return withChainToChange(reference, options, 'strict', async (chain) => {
    const { image, path, storage } = requireQcow2(chain);
    requireWritable(image);
    refuseStaleBitmaps(image);
    const present = await readBitmapDirectory(image);
    const tables = await readActiveTables(image);
    return await work({ chain, image, path, identity: storage.identity, present, tables });
  });
}

/** Opens an image alone, for writing unless it is a dry run, runs `work`, and closes all that was opened. */
export async function withChainToChange<T>(
  reference: ImageReference,
  options: ChangeOptions,
  bitmaps: BitmapsOpening,
  work: (chain: Chain) => Promise<T>,
): Promise<T> {
  refuseForceShare(options);
  return withChain(reference, { ...options, mode: options.dryRun ? 'read' : 'write', bitmaps }, work);
}

/** @throws UsageError for a change with `forceShare` that is not a dry run */
export function refuseForceShare({ forceShare, dryRun }: ChangeOptions): void {
  if (!forceShare || dryRun) return;
  throw new UsageError('an image that is in use can be read, but cannot be written', {
    remedy: { kind: 'plan-only' },
  });
}

/** Plans the change and, unless it is a dry run, makes it. */
export async function changeBitmaps(
  scan: Scan,
  change: BitmapChange,
  options: ChangeOptions,
  reading: TableReading,
): Promise<PlanReport> {
  const census = await takeCensus(scan, reading);
  return carryOut(census.image, await planBitmaps(census, change), options);
}

/** Plans a change of an image. The caller has read only its bitmap directory. */
export async function planFor(image: Image, change: BitmapChange, options: ChangeOptions): Promise<Plan> {
  const tables = await readActiveTables(image);
  const reading = tableReading([tables], options);
  const scan = await scanActiveTables(tables, undefined, reading);
  return planBitmaps(await takeCensus(scan, reading), change);
}

/** Carries a plan out, unless it is a dry run, and reports it. */
export async function carryOut(image: Image, plan: Plan, options: ChangeOptions): Promise<PlanReport> {
  if (!options.ignoreDeviceEnd) refuseGrowingDevice(image.storage, plan);
  options.signal?.throwIfAborted();
  if (!options.dryRun) await applyPlan(image.storage, plan);
  return reportPlan(image, plan, options.dryRun === true);
}

/** The result of an operation on named bitmaps. */
export interface EditResult {
  readonly schema: 1;
  readonly image: string;
  /** The bitmaps that were asked for. */
  readonly bitmaps: readonly string[];
  readonly dryRun: boolean;
  /** null when nothing had to be written. */
  readonly plan: PlanReport | null;
}

/**
 * Opens the image, gets the wanted directory from `edit`, and stores it in one commit.
 *
 * @param edit returns undefined if there is nothing to change
 */
export async function editBitmaps(
  reference: ImageReference,
  names: readonly string[],
  options: ChangeOptions,
  edit: (
    target: ImageToChange,
  ) => BitmapChange['wanted'] | undefined | Promise<BitmapChange['wanted'] | undefined>,
): Promise<EditResult> {
  return withImageToChange(reference, options, async (target) => {
    const wanted = await edit(target);
    const result = {
      schema: 1,
      image: target.path,
      bitmaps: [...new Set(names)],
      dryRun: options.dryRun === true,
    } as const;
    if (wanted === undefined) return { ...result, plan: null };
    const { tables, present } = target;
    const reading = tableReading([tables], options);
    const scan = await scanActiveTables(tables, undefined, reading);
    return { ...result, plan: await changeBitmaps(scan, { present, wanted }, options, reading) };
  });
}

export function reportPlan({ header }: Image, plan: Plan, withSteps: boolean): PlanReport {
  const { claimedClusters, releasedClusters, newEndOffset } = plan;
  const summary = {
    claimedClusters,
    claimedBytes: claimedClusters * header.clusterSizeBytes,
    releasedClusters,
    releasedBytes: releasedClusters * header.clusterSizeBytes,
    bytesWritten: bytesWritten(plan),
    newEndOffset,
  };
  if (!withSteps) return summary;
  return {
    ...summary,
    steps: plan.steps.map((step) =>
      step.kind === 'flush'
        ? { kind: step.kind, reason: step.reason }
        : { kind: step.kind, reason: step.reason, offset: step.offset, length: step.bytes.length },
    ),
  };
}
