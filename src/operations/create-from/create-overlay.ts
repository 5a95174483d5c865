/**
 * Stores bitmaps of an image in a new qcow2 overlay, so that both can be served together. The image itself is
 * not written to, and its format need not support bitmaps.
 */
import { dirtyBytes } from '../../bitmap/dirty-bitmap.ts';
import {
  defaultGranularityBits,
  granularityBitsOf,
  requireBitmapMemory,
  requireStorableSize,
} from '../../bitmap/granularity.ts';
import type { Chain } from '../../chain/chain.ts';
import { type ImageReference, parseReference } from '../../chain/reference.ts';
import { BitmapToolError, FailedError, RefusedError, UsageError } from '../../errors.ts';
import { bitmapBytes } from '../../format/bitmap-directory.ts';
import { type Image, naming, openImage } from '../../image/image.ts';
import { applyPlan } from '../../plan/apply-plan.ts';
import { storeNew } from '../../plan/bitmap-slot.ts';
import { planNewImage, planNewImageWithBitmaps } from '../../plan/new-image.ts';
import type { Plan } from '../../plan/plan.ts';
import { plannedFile } from '../../plan/planned-file.ts';
import { createNewFile, refuseExisting } from '../../storage/new-file.ts';
import { absolutePath } from '../../storage/path.ts';
import { reportPlan } from '../change-bitmaps.ts';
import { withChain } from '../with-chain.ts';
import type { CreateFromOptions, CreateFromResult } from './create-from-result.ts';
import { type BitmapSource, type Marks, readAtFinest, readSourceOf } from './sources.ts';

/**
 * @param into path of the new image
 * @param defaultName of the bitmap when no name is given
 * @throws RefusedError when the file already exists, or the source cannot be read
 * @throws FailedError when the new image cannot be written; no file is left then
 */
export async function createOverlay(
  imageName: string,
  source: BitmapSource,
  into: string,
  defaultName: string,
  options: CreateFromOptions,
): Promise<CreateFromResult> {
  if (options.ifExists !== undefined && options.ifExists !== 'fail') {
    throw new UsageError(`${into}: a new image has no bitmaps to ${options.ifExists}`);
  }
  await refuseExisting(into);
  const reference = parseReference(imageName, undefined);
  requireOwnBacking(imageName, reference);
  return withChain(reference, options, (chain) => overlayOn(chain, source, into, defaultName, options));
}

async function overlayOn(
  chain: Chain,
  source: BitmapSource,
  into: string,
  defaultName: string,
  options: CreateFromOptions,
): Promise<CreateFromResult> {
  const { top } = chain;
  const { names, disabled, dryRun, signal } = options;
  const emptySteps = naming({ name: into }, () =>
    planNewImage({
      virtualSizeBytes: top.virtualSizeBytes,
      // QEMU resolves a relative name from the folder of the overlay.
      backing: { name: absolutePath(top.path), format: top.format },
    }),
  );
  const overlay = await openImage(plannedFile(into, emptySteps));
  const { bitmap, sharedImages } = await readSourceMarks(chain, source, overlay, options);
  const wanted = names === undefined || names.length === 0 ? [defaultName] : [...new Set(names)];
  const plan = await planNewImageWithBitmaps(
    overlay,
    emptySteps,
    wanted.map((name) => storeNew(name, disabled !== true, bitmap)),
  );
  signal?.throwIfAborted();
  if (!dryRun) await writeNewFile(into, plan, options);
  return {
    schema: 1,
    image: top.path,
    into,
    source: source.kind,
    virtualSize: top.virtualSizeBytes,
    endOffset: 0,
    inheritedFrom: null,
    bitmaps: wanted.map((name) => ({
      name,
      action: 'created',
      granularity: 2 ** bitmap.granularityBits,
      enabled: disabled !== true,
      dirtyBytes: dirtyBytes(bitmap),
    })),
    kept: [],
    sharedImages,
    dryRun: dryRun === true,
    plan: reportPlan(overlay, plan, dryRun === true),
  };
}

/** The header of an overlay can name a backing file, but cannot store options for it. */
function requireOwnBacking(imageName: string, { path, backing }: ImageReference): void {
  if (backing === undefined) return;
  throw new RefusedError(
    'UNSUPPORTED',
    `${imageName}: an overlay cannot store that ${path} has another backing image than its header names`,
    { remedy: { kind: 'name-image-itself', path }, context: { file: path } },
  );
}

/** Without a requested granularity, uses the finest one of the read bitmaps, or the default of the image. */
async function readSourceMarks(
  chain: Chain,
  source: BitmapSource,
  overlay: Image,
  options: CreateFromOptions,
): Promise<Marks> {
  const { granularity } = options;
  const asked = granularity === undefined ? undefined : granularityBitsOf(granularity);
  if (asked === undefined && source.kind === 'bitmap') return readAtFinest(chain, source, options);
  const { top } = chain;
  const { header } = top.format === 'qcow2' ? top.image : overlay;
  const granularityBits = asked ?? defaultGranularityBits(header);
  requireStorableSize(overlay, granularityBits);
  requireBitmapMemory(overlay, 1, bitmapBytes(top.virtualSizeBytes, granularityBits));
  return readSourceOf(chain, source, granularityBits, options);
}

async function writeNewFile(into: string, plan: Plan, { signal }: CreateFromOptions): Promise<void> {
  const file = await createNewFile(into);
  try {
    await applyPlan(file.storage, plan);
    signal?.throwIfAborted();
    await file.publish();
  } catch (error) {
    // applyPlan's message is about an existing image, and this image is new.
    if (error instanceof FailedError && error.cause instanceof BitmapToolError) throw error.cause;
    throw error;
  } finally {
    await file.close();
  }
}
