/**
 * Stores a new checkpoint: its bitmap on all disks or on none, and its XML in a file.
 */
import type { Qcow2Layer } from '../../chain/layer.ts';
import { claimForWriting } from '../../chain/locking.ts';
import { BitmapToolError, FailedError } from '../../errors.ts';
import { openImage } from '../../image/image.ts';
import { readBitmapDirectory } from '../../image/stored-bitmaps.ts';
import { applyPlan } from '../../plan/apply-plan.ts';
import { keep } from '../../plan/bitmap-slot.ts';
import type { Plan } from '../../plan/plan.ts';
import { inSteps } from '../../remedy.ts';
import { createNewFile, type NewFile } from '../../storage/new-file.ts';
import { type ChangeOptions, planFor } from '../change-bitmaps.ts';
import { lockingOf } from '../options.ts';

interface PlannedBitmap {
  readonly layer: Qcow2Layer;
  /** Undefined if the image already has the bitmap. */
  readonly plan: Plan | undefined;
}

interface StoreOptions extends ChangeOptions {
  /** Path of a new file for the XML. */
  readonly output?: string | undefined;
}

/**
 * Stores the XML, then the bitmap on one disk after another. If a disk fails, the bitmap is removed from the
 * disks before it.
 *
 * @throws FailedError when a write fails; the message says what is on disk
 */
export async function storeCheckpoint(
  name: string,
  planned: readonly PlannedBitmap[],
  xml: string,
  options: StoreOptions,
): Promise<void> {
  const disks = planned.filter(({ plan }) => plan !== undefined);
  for (const { layer } of disks) await claimForWriting(layer.storage, lockingOf(options));
  const { output } = options;
  const file = output === undefined ? undefined : await createNewFile(output);
  try {
    // Write the file first: if there is no space for it, no bitmap has been added yet.
    await file?.storage.write(0, new TextEncoder().encode(xml));
    await file?.storage.flush();
    options.signal?.throwIfAborted();
    await addAll(name, disks, file, options);
  } finally {
    await file?.close();
  }
}

async function addAll(
  name: string,
  disks: readonly PlannedBitmap[],
  file: NewFile | undefined,
  options: StoreOptions,
): Promise<void> {
  const done: Qcow2Layer[] = [];
  try {
    for (const { layer, plan } of disks) {
      await applyPlan(layer.storage, plan!);
      done.push(layer);
    }
    await file?.publish();
  } catch (error) {
    throw await takenBack(name, done, error, options);
  }
}

/** Removes the bitmap from the disks that already had it. Returns the same error with the results added. */
async function takenBack(
  name: string,
  done: readonly Qcow2Layer[],
  error: unknown,
  options: StoreOptions,
): Promise<unknown> {
  const left: string[] = [];
  for (const { path, storage } of done) {
    try {
      const image = await openImage(storage);
      const present = await readBitmapDirectory(image);
      const wanted = present.filter((entry) => entry.name !== name).map(keep);
      await applyPlan(storage, await planFor(image, { present, wanted }, { noLock: options.noLock }));
    } catch {
      left.push(path);
    }
  }
  if (!(error instanceof BitmapToolError) || done.length === 0) return error;
  const paths = done.map(({ path }) => path).filter((path) => !left.includes(path));
  const back = paths.length === 0 ? '' : `; bitmap "${name}" was taken back from ${paths.join(', ')}`;
  const stays = left.length === 0 ? '' : `; bitmap "${name}" stays in ${left.join(', ')}`;
  return new FailedError(
    error instanceof FailedError ? error.code : 'IO_ERROR',
    `${error.message}${back}${stays}`,
    {
      cause: error,
      remedy: inSteps(error.remedy, { kind: 'run-again' }),
      context: { ...error.context, takenBack: paths, left },
    },
  );
}
