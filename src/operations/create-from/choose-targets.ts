/**
 * Chooses the bitmaps that create-from makes: the named ones, or those of the backing images.
 */
import { defaultGranularityBits, granularityBitsOf, requireStorableSize } from '../../bitmap/granularity.ts';
import type { Layer } from '../../chain/layer.ts';
import { isGood } from '../../checkpoint/chain/bitmap-state.ts';
import { isLastingName } from '../../checkpoint/names.ts';
import { RefusedError, UsageError } from '../../errors.ts';
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';
import { readBitmapDirectory } from '../../image/stored-bitmaps.ts';
import type { OnWarning } from '../../remedy.ts';
import { findBitmap } from '../bitmaps/find-bitmap.ts';
import type { ImageToChange } from '../change-bitmaps.ts';

/** What to do if the bitmap already exists. */
export type IfExists = 'fail' | 'merge' | 'replace';

export interface TargetOptions {
  /** Without names the image gets the valid bitmaps of the nearest backing image that has bitmaps. */
  readonly names?: readonly string[] | undefined;
  /** In bytes, a power of two from 512 to 2 GiB. */
  readonly granularity?: number | undefined;
  /** Default `fail`. */
  readonly ifExists?: IfExists | undefined;
  readonly onWarning?: OnWarning | undefined;
}

/** The required data of the image that gets the bitmaps. */
type TargetImage = Pick<ImageToChange, 'chain' | 'image' | 'path' | 'present'>;

/** A bitmap to be made. */
export interface Target {
  readonly name: string;
  /** The name as stored. */
  readonly nameBytes: Uint8Array;
  readonly granularityBits: number;
  readonly present: BitmapDirectoryEntry | undefined;
}

export interface Choice {
  readonly targets: readonly Target[];
  /** The backing image whose bitmaps are the model. */
  readonly inheritedFrom: string | null;
  /** Existing bitmaps of the image that have the name of an inherited one and are kept. */
  readonly others: readonly BitmapDirectoryEntry[];
}

/**
 * @param inherits whether the source marks everything that a checkpoint of a backing image must record
 * @param defaultName of the one bitmap to make when no name is given and none is inherited
 * @throws RefusedError, UsageError when a bitmap cannot be made
 */
export async function chooseTargets(
  image: TargetImage,
  { inherits, defaultName }: { inherits: boolean; defaultName: string },
  options: TargetOptions,
): Promise<Choice> {
  const named = (names: readonly string[]): Choice => ({
    targets: namedTargets(image, names, options),
    inheritedFrom: null,
    others: [],
  });
  if (options.names !== undefined && options.names.length > 0) return named(options.names);
  const model = inherits ? await nearestWithBitmaps(image) : undefined;
  return model === undefined ? named([defaultName]) : inherited(image, model, options);
}

/** @throws RefusedError, UsageError when a bitmap of one of these names cannot be made */
export function namedTargets(
  image: TargetImage,
  names: readonly string[],
  options: Omit<TargetOptions, 'names'>,
): Target[] {
  return [...new Set(names)].map((name) => targetFor(image, name, options));
}

interface Model {
  readonly layer: Layer;
  readonly depth: number;
  readonly entries: readonly BitmapDirectoryEntry[];
}

/**
 * @throws RefusedError when the bitmaps of that image are outdated, since its list of checkpoints cannot be
 * trusted
 */
async function nearestWithBitmaps({ chain, path }: TargetImage): Promise<Model | undefined> {
  for (let depth = 1; ; depth++) {
    const layer = await chain.layer(depth);
    if (layer === undefined) return undefined;
    if (layer.format !== 'qcow2') continue;
    if (layer.image.bitmaps.kind === 'stale')
      throw noModel(path, layer.path, 'are outdated (autoclear bit 0 is clear)');
    const entries = await readBitmapDirectory(layer.image);
    if (entries.length > 0) return { layer, depth, entries };
  }
}

function inherited(image: TargetImage, { layer, depth, entries }: Model, options: TargetOptions): Choice {
  if (depth > 1) {
    options.onWarning?.(
      `${image.path}: the bitmaps come from ${layer.path}, ${depth} images below; libvirt needs them in every image between`,
      { kind: 'fill-images-between' },
    );
  }
  const lasting = entries.filter(({ name }) => isLastingName(name));
  for (const { name, inUse } of lasting.filter((entry) => !isGood(entry))) {
    const state = inUse ? 'marked in-use' : 'disabled';
    options.onWarning?.(`${layer.path}: bitmap "${name}" is ${state} and not inherited`);
  }
  const good = lasting.filter(isGood);
  if (good.length === 0 && lasting.some(({ inUse }) => inUse)) {
    throw noModel(image.path, layer.path, 'are marked in-use');
  }
  const keeps = (options.ifExists ?? 'fail') === 'fail';
  return {
    targets: good
      .filter(({ name }) => !keeps || findBitmap(image.present, name) === undefined)
      .map(({ name, nameBytes, granularityBits }) => ({
        ...targetFor(image, name, options, granularityBits),
        nameBytes,
      })),
    inheritedFrom: layer.path,
    others: keeps ? good.flatMap(({ name }) => findBitmap(image.present, name) ?? []) : [],
  };
}

function noModel(path: string, backing: string, state: string): RefusedError {
  return new RefusedError(
    'BITMAP_INCONSISTENT',
    `${path}: no bitmaps to inherit: the bitmaps of its backing image ${backing} ${state}`,
    { remedy: { kind: 'name-new-bitmap' }, context: { file: path, backing } },
  );
}

function targetFor(
  { image, present: entries, path }: TargetImage,
  name: string,
  { granularity, ifExists = 'fail' }: TargetOptions,
  defaultBits = defaultGranularityBits(image.header),
): Target {
  const asked = granularity === undefined ? undefined : granularityBitsOf(granularity);
  const present = findBitmap(entries, name);
  const nameBytes = present?.nameBytes ?? new TextEncoder().encode(name);
  if (present !== undefined && ifExists === 'fail') {
    throw new RefusedError('BITMAP_EXISTS', `${path}: a bitmap "${name}" already exists`, {
      remedy: { kind: 'choose-other-name-or-change', file: path, name },
      context: { file: path, bitmap: name },
    });
  }
  if (present !== undefined && ifExists === 'merge') {
    requireMergeable(path, present, asked);
    return { name, nameBytes, granularityBits: present.granularityBits, present };
  }
  const granularityBits = asked ?? present?.granularityBits ?? defaultBits;
  requireStorableSize(image, granularityBits);
  return { name, nameBytes, granularityBits, present };
}

function requireMergeable(path: string, present: BitmapDirectoryEntry, asked: number | undefined): void {
  const { name, granularityBits, inUse } = present;
  if (inUse) {
    throw new RefusedError(
      'BITMAP_INCONSISTENT',
      `${path}: bitmap "${name}" is marked in-use, so its content is not valid and cannot be merged with`,
      { remedy: { kind: 'replace-target', file: path, name }, context: { file: path, bitmap: name } },
    );
  }
  if (asked !== undefined && asked !== granularityBits) {
    throw new UsageError(
      `${path}: bitmap "${name}" has a granularity of ${2 ** granularityBits}, and a merge cannot change it`,
      { remedy: { kind: 'keep-granularity-or-replace' } },
    );
  }
}
