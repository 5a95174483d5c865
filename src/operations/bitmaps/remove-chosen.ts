/**
 * Removes the chosen bitmaps from an image, or from every image of its backing chain.
 */
import { allLayers, type Chain } from '../../chain/chain.ts';
import type { Qcow2Layer } from '../../chain/layer.ts';
import { parseReference } from '../../chain/reference.ts';
import { RefusedError } from '../../errors.ts';
import { type BitmapDirectoryEntry, storedName } from '../../format/bitmap-directory.ts';
import { requireWritable } from '../../image/image.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../../image/stored-bitmaps.ts';
import { keep } from '../../plan/bitmap-slot.ts';
import type { Plan } from '../../plan/plan.ts';
import {
  type ChangeOptions,
  type PlanReport,
  planFor,
  refuseForceShare,
  reportPlan,
} from '../change-bitmaps.ts';
import { requireQcow2 } from '../open-qcow2.ts';
import { withChain } from '../with-chain.ts';
import { writeInTurn } from '../write-in-turn.ts';
import { type BitmapChoice, readChoice } from './choose-bitmaps.ts';

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

const INTERRUPTION = {
  words: 'removed before that from',
  key: 'done',
  remedy: { kind: 'run-again' },
} as const;

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
  refuseForceShare(options);
  const opening = { ...options, mode: options.dryRun ? 'read' : 'write-later' } as const;
  return withChain(parseReference(imageName, undefined), opening, async (chain) => {
    const removals = await planRemovals(chain, choice, options);
    options.signal?.throwIfAborted();
    if (!options.dryRun) await writeInTurn(removals, INTERRUPTION, options);
    return {
      schema: 1,
      dryRun: options.dryRun === true,
      images: removals.map(({ layer, gone, plan }) => ({
        image: layer.path,
        bitmaps: gone.map(({ name }) => name),
        plan: reportPlan(layer.image, plan, options.dryRun === true),
      })),
    };
  });
}

async function planRemovals(chain: Chain, choice: BitmapChoice, options: RemoveOptions): Promise<Removal[]> {
  requireQcow2(chain);
  const isChosen = await readChoice(chain, choice, options);
  const removals: Removal[] = [];
  for (const layer of options.chain ? await allLayers(chain) : [chain.top]) {
    if (layer.format === 'raw') continue;
    refuseStaleBitmaps(layer.image);
    const present = await readBitmapDirectory(layer.image);
    const gone = present.filter(({ name }) => isChosen(name));
    if (gone.length === 0) continue;
    requireWritable(layer.image);
    const names = new Set(gone.map(storedName));
    const wanted = present.filter((entry) => !names.has(storedName(entry))).map(keep);
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
