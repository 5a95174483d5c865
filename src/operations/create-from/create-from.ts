/**
 * Creates bitmaps in an image from a source, like the job block-dirty-bitmap-create-from that was proposed
 * for QEMU.
 */
import {
  countMissingMarks,
  type DirtyBitmap,
  dirtyBytes,
  isWholeDisk,
  mergeInto,
  resample,
} from '../../bitmap/dirty-bitmap.ts';
import { requireBitmapMemory } from '../../bitmap/granularity.ts';
import { readBitmap } from '../../bitmap/read-bitmap.ts';
import { parseReference } from '../../chain/reference.ts';
import { isGood } from '../../checkpoint/chain/bitmap-state.ts';
import { requireStorableName } from '../../checkpoint/names.ts';
import { type BitmapDirectoryEntry, bitmapBytes } from '../../format/bitmap-directory.ts';
import type { Image } from '../../image/image.ts';
import { type StoreSlot, store, withStores } from '../../plan/bitmap-slot.ts';
import { changeBitmaps, type ImageToChange, withImageToChange } from '../change-bitmaps.ts';
import { chooseTargets, type Target } from './choose-targets.ts';
import type { CreatedBitmap, CreateFromOptions, CreateFromResult, KeptBitmap } from './create-from-result.ts';
import { createOverlay } from './create-overlay.ts';
import { type BitmapSource, defaultName, INHERITS, readSource } from './sources.ts';

/**
 * Stores bitmaps that are made from a source.
 *
 * @throws UsageError for names or a granularity that QEMU could not store
 * @throws RefusedError, InUseError, FailedError depending on the state of the image. Nothing was written
 * then, unless a FailedError says so
 */
export async function createFrom(
  imageName: string,
  source: BitmapSource,
  options: CreateFromOptions = {},
): Promise<CreateFromResult> {
  options.names?.forEach(requireStorableName);
  if (options.into !== undefined)
    return createOverlay(imageName, source, options.into, defaultName(source), options);
  return withImageToChange(parseReference(imageName, undefined), options, async (target) => {
    const { targets, inheritedFrom, others } = await chooseTargets(
      target,
      { inherits: INHERITS[source.kind], defaultName: defaultName(source) },
      options,
    );
    const result = {
      schema: 1,
      image: target.path,
      into: null,
      source: source.kind,
      virtualSize: target.image.header.virtualSizeBytes,
      endOffset: target.image.storage.sizeBytes,
      inheritedFrom,
      dryRun: options.dryRun === true,
    } as const;
    const granularities = [...targets, ...others].map(({ granularityBits }) => granularityBits);
    if (granularities.length === 0) return { ...result, bitmaps: [], kept: [], sharedImages: [], plan: null };
    requireMemory(target.image, targets, options);

    // Coarser bitmaps are made from the finest one by rounding out.
    const read = await readSource(target, source, Math.min(...granularities), options);
    const { bitmap: finest, scan, reading, sharedImages } = read;
    warnOfWholeDisk(target, source, finest, options);
    const kept: KeptBitmap[] = [];
    for (const entry of others) kept.push(await coverage(target, entry, finest, options));
    const rounded = roundings(finest);
    const made: MadeBitmap[] = [];
    for (const each of targets) made.push(await make(target, each, rounded, options));

    const bitmaps = made.map(({ report }) => report);
    const slots = made.flatMap(({ slot }) => slot ?? []);
    if (slots.length === 0) return { ...result, bitmaps, kept, sharedImages, plan: null };
    const { present } = target;
    const change = { present, wanted: withStores(present, slots) };
    const plan = await changeBitmaps(scan, change, options, reading);
    return { ...result, bitmaps, kept, sharedImages, plan };
  });
}

/** Each merged bitmap needs its own memory. Other bitmaps of one granularity share theirs. */
export function requireMemory(
  image: Image,
  targets: readonly Target[],
  { ifExists }: CreateFromOptions,
): void {
  const isMerged = ({ present }: Target) => present !== undefined && ifExists === 'merge';
  const alike = new Map(targets.map((target) => [target.granularityBits, target]));
  const together = [...alike.values(), ...targets.filter(isMerged)];
  const { virtualSizeBytes } = image.header;
  const bytes = together.reduce(
    (sum, { granularityBits }) => sum + bitmapBytes(virtualSizeBytes, granularityBits),
    0,
  );
  requireBitmapMemory(image, together.length, bytes);
}

export function warnOfWholeDisk(
  { path }: { readonly path: string },
  { kind }: BitmapSource,
  bitmap: DirtyBitmap,
  { onWarning }: CreateFromOptions,
): void {
  if (kind !== 'allocated' || !isWholeDisk(bitmap)) return;
  onWarning?.(
    `${path}: the image holds its whole disk (preallocated or fully written), so the bitmap marks all of it and an incremental backup saves nothing`,
  );
}

/**
 * Rounds out the finest bitmap once for each granularity, so that bitmaps of equal granularity share memory.
 */
export function roundings(finest: DirtyBitmap): (granularityBits: number) => DirtyBitmap {
  const known = new Map<number, DirtyBitmap>();
  return (granularityBits) => {
    const bitmap = known.get(granularityBits) ?? resample(finest, granularityBits);
    known.set(granularityBits, bitmap);
    return bitmap;
  };
}

interface MadeBitmap {
  readonly report: CreatedBitmap;
  /** undefined if the bitmap is not changed. */
  readonly slot: StoreSlot | undefined;
}

async function make(
  { image }: ImageToChange,
  target: Target,
  rounded: (granularityBits: number) => DirtyBitmap,
  { disabled, ifExists }: CreateFromOptions,
): Promise<MadeBitmap> {
  const { name, nameBytes, granularityBits, present } = target;
  const wanted = rounded(granularityBits);
  const made = (action: CreatedBitmap['action'], auto: boolean, bitmap: DirtyBitmap): MadeBitmap => ({
    report: {
      name,
      action,
      granularity: 2 ** granularityBits,
      enabled: auto,
      dirtyBytes: dirtyBytes(bitmap),
    },
    slot: action === 'unchanged' ? undefined : store({ name, nameBytes, auto }, bitmap),
  });
  if (present === undefined) return made('created', disabled !== true, wanted);
  if (ifExists !== 'merge') return made('replaced', disabled !== true, wanted);
  const old = await readBitmap(image, present);
  if (countMissingMarks(wanted, old) === 0) return made('unchanged', present.auto, old);
  mergeInto(old, wanted);
  return made('merged', present.auto, old);
}

/** Checks whether an existing bitmap of the image marks everything that the source marks. */
async function coverage(
  { image, path }: ImageToChange,
  entry: BitmapDirectoryEntry,
  finest: DirtyBitmap,
  options: CreateFromOptions,
): Promise<KeptBitmap> {
  const { name } = entry;
  if (!isGood(entry)) {
    const state = entry.inUse ? 'marked in-use' : 'disabled';
    options.onWarning?.(`${path}: its own bitmap "${name}" is ${state} and was not changed`, {
      kind: 'replace-target',
      file: path,
      name,
    });
  }
  if (entry.inUse) return { name, missingBytes: null };
  const own = await readBitmap(image, entry);
  const ownBytes = dirtyBytes(own);
  mergeInto(own, finest);
  const missingBytes = dirtyBytes(own) - ownBytes;
  if (missingBytes > 0) warnOfMissing(path, name, missingBytes, options);
  return { name, missingBytes };
}

export function warnOfMissing(
  path: string,
  name: string,
  missingBytes: number,
  { onWarning }: CreateFromOptions,
): void {
  onWarning?.(
    `${path}: its own bitmap "${name}" lacks ${missingBytes} bytes that the image holds: an incremental backup would miss them`,
    { kind: 'add-to-target', file: path, name },
  );
}
