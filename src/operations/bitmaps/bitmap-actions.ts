/**
 * The actions of `qemu-img bitmap`: a series of changes to one bitmap, with the effects of QEMU 11.1.
 */
import { cleanBitmap, type DirtyBitmap, mergeInto } from '../../bitmap/dirty-bitmap.ts';
import { defaultGranularityBits, requireStorableSize } from '../../bitmap/granularity.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import { isPowerOfTwo } from '../../bytes/align.ts';
import { type ImageReference, parseReference } from '../../chain/reference.ts';
import { ALLOCATED, requireStorableName } from '../../checkpoint/names.ts';
import { RefusedError, UsageError } from '../../errors.ts';
import { MAX_GRANULARITY_BITS, MIN_GRANULARITY_BITS } from '../../format/bitmap-directory.ts';
import type { Image } from '../../image/image.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../../image/stored-bitmaps.ts';
import { type BitmapSlot, keep, store, storeNew } from '../../plan/bitmap-slot.ts';
import { type ChangeOptions, type EditResult, editBitmaps, type ImageToChange } from '../change-bitmaps.ts';
import { withQcow2 } from '../open-qcow2.ts';
import { readNamedBitmap } from './named-bitmaps.ts';

export type BitmapAction =
  /** Removes every bitmap of the image. */
  { readonly kind: 'remove-all' } | NamedAction;

type NamedAction = { readonly kind: 'add' } | { readonly kind: 'remove' } | ChangingAction;

type ChangingAction =
  | { readonly kind: 'clear' }
  | { readonly kind: 'enable' }
  | { readonly kind: 'disable' }
  /** `source` names a bitmap of `sourceImage`, or of the image itself; `#ALLOCATED` may be one. */
  | { readonly kind: 'merge'; readonly source: string };

export interface BitmapActionOptions extends ChangeOptions {
  /** Granularity of added bitmaps, in bytes. */
  readonly granularity?: number | undefined;
  /** The image that has the sources of merges. */
  readonly sourceImage?: string | ImageReference | undefined;
}

/**
 * Carries out the actions in order, and stores the results in one commit. If an action fails, the results of
 * the actions before it are still stored, as qemu-img does. Then the error is thrown.
 *
 * @param name the bitmap that the actions are for; `remove-all` alone needs none
 */
export async function applyBitmapActions(
  image: string | ImageReference,
  name: string | undefined,
  actions: readonly BitmapAction[],
  options: BitmapActionOptions = {},
): Promise<EditResult> {
  let failure: unknown;
  const names = name === undefined ? [] : [name];
  const result = await editBitmaps(referenceTo(image), names, options, async (target) => {
    let slots: Slots = target.present.map(keep);
    const before = slots;
    for (const action of actions) {
      try {
        slots = await apply(target, slots, action, name, options);
      } catch (error) {
        // Do not write if a source cannot be read. qemu-img also opens the source before it acts.
        if (!(error instanceof RefusedError || error instanceof UsageError)) throw error;
        failure = failed(action, name, error);
        break;
      }
    }
    return slots === before ? undefined : slots;
  });
  if (failure !== undefined) throw failure;
  return result;
}

function referenceTo(image: string | ImageReference): ImageReference {
  return typeof image === 'string' ? parseReference(image, undefined) : image;
}

type Slots = readonly BitmapSlot[];

function failed(
  { kind }: BitmapAction,
  name: string | undefined,
  cause: RefusedError | UsageError,
): RefusedError {
  const { message, remedy } = cause;
  const code = cause instanceof RefusedError ? cause.code : 'BITMAP_LIMIT';
  const what = name === undefined ? `Operation ${kind}` : `Operation ${kind} on bitmap ${name}`;
  return new RefusedError(code, `${what} failed: ${message}`, {
    cause,
    remedy,
  });
}

async function apply(
  target: ImageToChange,
  slots: Slots,
  action: BitmapAction,
  name: string | undefined,
  options: BitmapActionOptions,
): Promise<Slots> {
  if (action.kind === 'remove-all') return slots.length === 0 ? slots : [];
  if (name === undefined) throw new UsageError('no bitmap is named');
  return await applyTo(target, slots, action, name, options);
}

async function applyTo(
  target: ImageToChange,
  slots: Slots,
  action: NamedAction,
  name: string,
  options: BitmapActionOptions,
): Promise<Slots> {
  const { image } = target;
  const slot = slots.find((each) => nameOf(each) === name);
  if (action.kind !== 'remove' || slot === undefined) requireStorableName(name);
  if (action.kind === 'add') {
    if (slot !== undefined) throw new RefusedError('BITMAP_EXISTS', `Bitmap already exists: ${name}`);
    return [...slots, added(image, name, options.granularity)];
  }
  if (slot === undefined) throw notFound(name);
  if (action.kind === 'remove') return slots.filter((each) => each !== slot);
  requireConsistent(image, slot, name);
  const changed = await change(target, slots, slot, action, options);
  return slots.map((each) => (each === slot ? changed : each));
}

async function change(
  target: ImageToChange,
  slots: Slots,
  slot: BitmapSlot,
  action: ChangingAction,
  options: BitmapActionOptions,
): Promise<BitmapSlot> {
  const { image } = target;
  switch (action.kind) {
    case 'enable':
    case 'disable': {
      const auto = action.kind === 'enable';
      return slot.kind === 'keep' ? keep({ ...slot.entry, auto }) : { ...slot, auto };
    }
    case 'clear':
      return stored(slot, cleanBitmap(image.header.virtualSizeBytes, granularityBitsOf(slot)));
    case 'merge': {
      const source = await sourceBitmap(target, slots, action.source, options);
      if (source.virtualSizeBytes !== image.header.virtualSizeBytes) {
        throw new RefusedError(
          'SIZE_MISMATCH',
          `Bitmaps are of different sizes (destination size is ${image.header.virtualSizeBytes}, source size is ${source.virtualSizeBytes}) and can't be merged`,
        );
      }
      const merged = cleanBitmap(image.header.virtualSizeBytes, granularityBitsOf(slot));
      mergeInto(merged, await contentOf(image, slot));
      mergeInto(merged, source);
      return stored(slot, merged);
    }
  }
}

async function sourceBitmap(
  { image, present }: ImageToChange,
  slots: Slots,
  name: string,
  { sourceImage, ...options }: BitmapActionOptions,
): Promise<DirtyBitmap> {
  if (sourceImage === undefined) {
    if (name === ALLOCATED) return readNamedBitmap(image, present, name, options);
    const slot = slots.find((each) => nameOf(each) === name);
    if (slot === undefined) throw notFound(name);
    requireConsistent(image, slot, name);
    return contentOf(image, slot);
  }
  return withQcow2(referenceTo(sourceImage), options, async ({ image: other }) => {
    refuseStaleBitmaps(other);
    const entries = await readBitmapDirectory(other);
    if (name !== ALLOCATED) {
      const entry = entries.find((each) => each.name === name);
      if (entry === undefined) throw notFound(name);
      requireConsistent(other, keep(entry), name);
    }
    return readNamedBitmap(other, entries, name, options);
  });
}

function added(image: Image, name: string, granularity: number | undefined): BitmapSlot {
  const bits = granularity === undefined ? defaultGranularityBits(image.header) : Math.log2(granularity);
  if (bits < MIN_GRANULARITY_BITS || (granularity !== undefined && !isPowerOfTwo(granularity))) {
    throw new RefusedError('BITMAP_LIMIT', 'Granularity must be power of 2 and at least 512');
  }
  if (bits > MAX_GRANULARITY_BITS) {
    throw new RefusedError('BITMAP_LIMIT', 'Granularity exceeds maximum (2147483648 bytes)');
  }
  requireStorableSize(image, bits);
  return storeNew(name, true, cleanBitmap(image.header.virtualSizeBytes, bits));
}

function nameOf(slot: BitmapSlot): string {
  return slot.kind === 'keep' ? slot.entry.name : slot.name;
}

function granularityBitsOf(slot: BitmapSlot): number {
  return slot.kind === 'keep' ? slot.entry.granularityBits : slot.bitmap.granularityBits;
}

async function contentOf(image: Image, slot: BitmapSlot): Promise<DirtyBitmap> {
  return slot.kind === 'keep' ? readBitmap(image, slot.entry) : slot.bitmap;
}

function stored(slot: BitmapSlot, bitmap: DirtyBitmap): BitmapSlot {
  return store(slot.kind === 'keep' ? slot.entry : slot, bitmap);
}

function notFound(name: string): RefusedError {
  return new RefusedError('BITMAP_NOT_FOUND', `Dirty bitmap '${name}' not found`);
}

function requireConsistent({ storage }: Image, slot: BitmapSlot, name: string): void {
  if (slot.kind === 'store' || !slot.entry.inUse) return;
  throw new RefusedError('BITMAP_INCONSISTENT', `Bitmap '${name}' is inconsistent and cannot be used`, {
    remedy: { kind: 'replace-bitmap', file: storage.name, name },
  });
}
