/**
 * Removes the chosen bitmaps from an image, or from every image of its backing chain.
 */
import { allLayers, type Chain, openChain } from '../../chain/chain.ts';
import type { Qcow2Layer } from '../../chain/layer.ts';
import { claimForWriting } from '../../chain/locking.ts';
import { parseReference } from '../../chain/reference.ts';
import { FailedError, RefusedError, UsageError } from '../../errors.ts';
import { type BitmapDirectoryEntry, storedName } from '../../format/bitmap-directory.ts';
import { requireWritable } from '../../image/image.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../../image/stored-bitmaps.ts';
import { applyPlan } from '../../plan/apply-plan.ts';
import type { Plan } from '../../plan/plan.ts';
import { inSteps } from '../../remedy.ts';
import { type ChangeOptions, type PlanReport, planFor, reportPlan } from '../change-bitmaps.ts';
import { requireQcow2 } from '../open-qcow2.ts';
import { lockingOf } from '../options.ts';
import { type BitmapChoice, openChoice } from './choose-bitmaps.ts';

export interface RemovedFromImage {
  readonly image: string;
  /** In the order of the directory. */
  readonly bitmaps: readonly string[];
  readonly plan: PlanReport;
}

export interface RemoveOptions extends ChangeOptions {
  /** Remove from every image of the chain, not only from the named one. */
  readonly chain?: boolean | undefined;
}

export interface RemovedBitmaps {
  readonly schema: 1;
  readonly dryRun: boolean;
  /** The images that have chosen bitmaps, top first. */
  readonly images: readonly RemovedFromImage[];
}

interface Removal {
  readonly layer: Qcow2Layer;
  readonly gone: readonly BitmapDirectoryEntry[];
  readonly plan: Plan;
}

/**
 * Plans all images, then writes them unless it is a dry run. The top is written first: libvirt refuses a
 * checkpoint whose bitmap the top lacks, so that no checkpoint is valid in between.
 *
 * @throws RefusedError when no image has a bitmap of one of the names; nothing was written then
 * @throws FailedError when a write fails; the message says which images are done
 */
export async function removeChosen(
  imageName: string,
  choice: BitmapChoice,
  options: RemoveOptions = {},
): Promise<RemovedBitmaps> {
  if (options.forceShare && !options.dryRun) {
    throw new UsageError('an image that is in use cannot be written', { remedy: { kind: 'plan-only' } });
  }
  const chain = await openChain(parseReference(imageName, undefined), {
    mode: options.dryRun ? 'read' : 'write-later',
    locking: lockingOf(options),
    onWarning: options.onWarning,
  });
  try {
    const removals = await planRemovals(chain, choice, options);
    options.signal?.throwIfAborted();
    if (!options.dryRun) await writeInTurn(removals, options);
    return {
      schema: 1,
      dryRun: options.dryRun === true,
      images: removals.map(({ layer, gone, plan }) => ({
        image: layer.path,
        bitmaps: gone.map(({ name }) => name),
        plan: reportPlan(layer.image, plan, options.dryRun === true),
      })),
    };
  } finally {
    await chain.close();
  }
}

async function planRemovals(chain: Chain, choice: BitmapChoice, options: RemoveOptions): Promise<Removal[]> {
  requireQcow2(chain);
  const isChosen = await openChoice(chain, choice, options);
  const removals: Removal[] = [];
  for (const layer of options.chain ? await allLayers(chain) : [chain.top]) {
    if (layer.format === 'raw') continue;
    refuseStaleBitmaps(layer.image);
    const present = await readBitmapDirectory(layer.image);
    const gone = present.filter(({ name }) => isChosen(name));
    if (gone.length === 0) continue;
    requireWritable(layer.image);
    const names = new Set(gone.map(storedName));
    const wanted = present
      .filter((entry) => !names.has(storedName(entry)))
      .map((entry) => ({ kind: 'keep', entry }) as const);
    removals.push({ layer, gone, plan: await planFor(layer.image, { present, wanted }, options) });
  }
  if (choice.kind === 'named') requireEach(chain, choice.names, removals);
  return removals;
}

function requireEach({ top }: Chain, names: readonly string[], removals: readonly Removal[]): void {
  const found = new Set(removals.flatMap(({ gone }) => gone.map(({ name }) => name)));
  const missing = names.find((name) => !found.has(name));
  if (missing === undefined) return;
  throw new RefusedError('BITMAP_NOT_FOUND', `${top.path}: no image of the chain has a bitmap "${missing}"`, {
    context: { file: top.path, bitmap: missing },
  });
}

async function writeInTurn(removals: readonly Removal[], options: ChangeOptions): Promise<void> {
  for (const { layer } of removals) await claimForWriting(layer.storage, lockingOf(options));
  options.signal?.throwIfAborted();
  for (const [index, { layer, plan }] of removals.entries()) {
    try {
      await applyPlan(layer.storage, plan);
    } catch (error) {
      if (!(error instanceof FailedError)) throw error;
      throw failedAt(index, removals, error);
    }
  }
}

function failedAt(index: number, removals: readonly Removal[], error: FailedError): FailedError {
  const paths = removals.map(({ layer }) => layer.path);
  const [done, untouched] = [paths.slice(0, index), paths.slice(index + 1)];
  const list = (what: string, names: readonly string[]) =>
    names.length === 0 ? '' : `; ${what}: ${names.join(', ')}`;
  return new FailedError(
    error.code,
    `${error.message}${list('removed before that from', done)}${list('not yet touched', untouched)}`,
    {
      cause: error,
      remedy: inSteps(error.remedy, { kind: 'run-again' }),
      context: { ...error.context, done, untouched },
    },
  );
}
