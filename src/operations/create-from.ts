/**
 * Creates bitmaps in an image from a source: what the job block-dirty-bitmap-create-from was to do in QEMU.
 */
import { allocatedBitmap } from '../allocation/layer-bitmap.ts';
import { cleanBitmap, type DirtyBitmap, dirtyBytes, mergeInto, resample } from '../bitmap/dirty-bitmap.ts';
import { readBitmap } from '../bitmap/read-bitmap.ts';
import type { BitmapSlot } from '../bitmap/store-plan.ts';
import { countMissing } from '../bytes/bits.ts';
import type { Chain } from '../chain/chain.ts';
import type { Layer } from '../chain/layer.ts';
import { parseReference } from '../chain/reference.ts';
import { isTemporaryName, requireStorableName } from '../checkpoint/names.ts';
import { RefusedError, UsageError } from '../errors.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import { readBitmapDirectory } from '../image/bitmap-directory.ts';
import { noHostClusters } from '../image/host-clusters.ts';
import { readActiveL1Table } from '../image/image.ts';
import { fileIdentity } from '../storage/file.ts';
import {
  type ChangeOptions,
  changeBitmaps,
  type ImageToChange,
  type PlanReport,
  withImageToChange,
} from './change-bitmaps.ts';
import { defaultGranularityBits, granularityBitsOf, requireStorableSize } from './granularity.ts';
import { tableReading } from './table-progress.ts';

/** What the new bitmaps mark. */
export interface AllocatedSource {
  readonly kind: 'allocated';
  /** Every image from the top down to, not including, this one counts; without it only the image itself. */
  readonly above?: string | undefined;
}

export interface CreateFromOptions extends ChangeOptions {
  /** Without names the image gets the valid bitmaps of the nearest backing image that has bitmaps. */
  readonly names?: readonly string[] | undefined;
  /** In bytes, a power of two from 512 to 2 GiB. */
  readonly granularity?: number | undefined;
  /** New bitmaps do not record further writes. */
  readonly disabled?: boolean | undefined;
  /** What to do about a bitmap that is there already; default `fail`. */
  readonly ifExists?: 'fail' | 'merge' | 'replace' | undefined;
}

export interface CreatedBitmap {
  readonly name: string;
  readonly action: 'created' | 'merged' | 'replaced' | 'unchanged';
  readonly granularity: number;
  readonly enabled: boolean;
  /** Bytes of the disk that it marks now. */
  readonly dirtyBytes: number;
}

/** A bitmap that the image had already and that was left alone. */
export interface KeptBitmap {
  readonly name: string;
  /** Bytes that the image holds and the bitmap does not mark; null when its content cannot be trusted. */
  readonly missingBytes: number | null;
}

export interface CreateFromResult {
  readonly schema: 1;
  readonly image: string;
  readonly source: 'allocated';
  readonly virtualSize: number;
  /** The backing image whose bitmaps were the model, when no name was given and there was one. */
  readonly inheritedFrom: string | null;
  readonly bitmaps: readonly CreatedBitmap[];
  readonly kept: readonly KeptBitmap[];
  readonly dryRun: boolean;
  /** null when nothing had to be written. */
  readonly plan: PlanReport | null;
}

/** A bitmap that is asked for. */
interface Target {
  readonly name: string;
  readonly granularityBits: number;
  readonly present: BitmapDirectoryEntry | undefined;
}

/**
 * Stores bitmaps of what an image (or the images above a base) holds.
 *
 * @throws UsageError for names or a granularity that QEMU could not store
 * @throws RefusedError, InUseError, FailedError as the image's state demands; nothing was written then, except
 * where a FailedError says so
 */
export async function createFrom(
  imageName: string,
  source: AllocatedSource,
  options: CreateFromOptions = {},
): Promise<CreateFromResult> {
  options.names?.forEach(requireStorableName);
  return withImageToChange(imageName, options, async (target) => {
    const { targets, inheritedFrom, others } = await chooseTargets(target, options);
    const everything = [
      ...targets.map((each) => each.granularityBits),
      ...others.map((each) => each.granularityBits),
    ];
    const result = {
      schema: 1,
      image: target.path,
      source: source.kind,
      virtualSize: target.image.header.virtualSizeBytes,
      inheritedFrom,
      dryRun: options.dryRun === true,
    } as const;
    if (everything.length === 0) return { ...result, bitmaps: [], kept: [], plan: null };

    const layers = await layersToScan(target, source);
    const reading = tableReading([target, ...layers], options);
    const finest = await scan(target, layers, Math.min(...everything), reading);

    if (dirtyBytes(finest) === finest.virtualSizeBytes) {
      options.onWarning?.(
        `${target.path}: holds its whole disk (preallocated, or written all over), so all of it is marked and an incremental backup saves nothing`,
      );
    }
    const kept: KeptBitmap[] = [];
    for (const entry of others) kept.push(await coverage(target, entry, finest, options));
    const made: MadeBitmap[] = [];
    for (const each of targets) made.push(await make(target, each, finest, options));

    const bitmaps = made.map(({ report }) => report);
    if (made.every(({ slot }) => slot === undefined)) return { ...result, bitmaps, kept, plan: null };
    const plan = await changeBitmaps(target, directoryWith(target.present, made), options, reading);
    return { ...result, bitmaps, kept, plan };
  });
}

// --- which bitmaps --------------------------------------------------------------------------------------------

interface Choice {
  readonly targets: readonly Target[];
  readonly inheritedFrom: string | null;
  /** Bitmaps of the image that share a name with an inherited one, and stay. */
  readonly others: readonly BitmapDirectoryEntry[];
}

async function chooseTargets(target: ImageToChange, options: CreateFromOptions): Promise<Choice> {
  const { image, present, chain, path } = target;
  const asked = options.granularity === undefined ? undefined : granularityBitsOf(options.granularity);
  const { names } = options;
  if (names !== undefined && names.length > 0) {
    const granularityBits = asked ?? defaultGranularityBits(image.header);
    const targets = [...new Set(names)].map((name) =>
      targetFor(target, name, asked, granularityBits, options),
    );
    return { targets, inheritedFrom: null, others: [] };
  }

  const model = await nearestWithBitmaps(chain);
  if (model === undefined) {
    const granularityBits = asked ?? defaultGranularityBits(image.header);
    return {
      targets: [targetFor(target, 'allocated', asked, granularityBits, options)],
      inheritedFrom: null,
      others: [],
    };
  }
  if (model.depth > 1) {
    options.onWarning?.(
      `${path}: the bitmaps come from ${model.layer.path}, ${model.depth} images below; libvirt wants them in every image between: run create-from on those too`,
    );
  }
  const inherited = model.entries.filter(({ name }) => !isTemporaryName(name));
  for (const { name, inUse } of inherited.filter((entry) => !isValid(entry))) {
    options.onWarning?.(
      `${model.layer.path}: bitmap "${name}" is ${inUse ? 'marked in-use' : 'disabled'} and not inherited`,
    );
  }
  const find = (name: string) => present.find((entry) => entry.name === name);
  const valid = inherited.filter(isValid);
  return {
    targets: valid
      .filter(({ name }) => find(name) === undefined)
      .map(({ name, granularityBits }) => targetFor(target, name, asked, granularityBits, options)),
    inheritedFrom: model.layer.path,
    others: valid.flatMap(({ name }) => find(name) ?? []),
  };
}

function isValid({ auto, inUse }: BitmapDirectoryEntry): boolean {
  return auto && !inUse;
}

async function nearestWithBitmaps(
  chain: Chain,
): Promise<{ layer: Layer; depth: number; entries: BitmapDirectoryEntry[] } | undefined> {
  for (let depth = 1; ; depth++) {
    const layer = await chain.layer(depth);
    if (layer === undefined) return undefined;
    if (layer.format !== 'qcow2') continue;
    const entries = await readBitmapDirectory(layer.image);
    if (entries.length > 0) return { layer, depth, entries };
  }
}

function targetFor(
  { image, present: entries, path }: ImageToChange,
  name: string,
  asked: number | undefined,
  granularityBits: number,
  { ifExists = 'fail' }: CreateFromOptions,
): Target {
  const present = entries.find((entry) => entry.name === name);
  if (present === undefined) {
    requireStorableSize(image, granularityBits);
    return { name, granularityBits, present };
  }
  if (ifExists === 'fail') {
    throw new RefusedError('BITMAP_EXISTS', `${path}: there is a bitmap "${name}" already`, {
      hint: 'Choose another --name, or say --if-exists merge (add to it) or --if-exists replace.',
      context: { file: path, bitmap: name },
    });
  }
  if (ifExists === 'merge') {
    if (present.inUse) {
      throw new RefusedError(
        'BITMAP_INCONSISTENT',
        `${path}: bitmap "${name}" is marked in-use, so there is nothing in it to add to`,
        { hint: 'Say --if-exists replace.', context: { file: path, bitmap: name } },
      );
    }
    if (asked !== undefined && asked !== present.granularityBits) {
      throw new UsageError(
        `${path}: bitmap "${name}" has a granularity of ${2 ** present.granularityBits}, which adding to it cannot change`,
        { hint: 'Leave --granularity out, or say --if-exists replace.' },
      );
    }
    return { name, granularityBits: present.granularityBits, present };
  }
  const replaced = asked ?? present.granularityBits;
  requireStorableSize(image, replaced);
  return { name, granularityBits: replaced, present };
}

// --- what they mark -------------------------------------------------------------------------------------------

type ScannedLayer = { readonly layer: Layer } & Pick<ImageToChange, 'image' | 'l2Offsets'>;

/** The images below the top that count, and above the base. */
async function layersToScan(
  { chain, path }: ImageToChange,
  { above }: AllocatedSource,
): Promise<ScannedLayer[]> {
  if (above === undefined) return [];
  const base = await fileIdentity(parseReference(above, undefined).path);
  const layers: ScannedLayer[] = [];
  const seen: string[] = [path];
  if (chain.top.storage.identity === base) {
    throw new UsageError(`--above ${above}: this is the image itself, not one below it`);
  }
  for (let depth = 1; ; depth++) {
    const layer = await chain.layer(depth);
    if (layer === undefined) {
      throw new UsageError(`--above ${above}: not in the backing chain, which is ${seen.join(' ← ')}`);
    }
    if (layer.storage.identity === base) return layers;
    seen.push(layer.path);
    if (layer.format === 'raw') continue; // The end of every chain: the base is not there, and seen says so.
    layers.push({ layer, image: layer.image, l2Offsets: await readActiveL1Table(layer.image) });
  }
}

async function scan(
  { image, l2Offsets, referenced }: ImageToChange,
  layers: readonly ScannedLayer[],
  granularityBits: number,
  reading: ReturnType<typeof tableReading>,
): Promise<DirtyBitmap> {
  const form = { virtualSizeBytes: image.header.virtualSizeBytes, granularityBits };
  const bitmap = await allocatedBitmap(image, l2Offsets, referenced, form, reading);
  for (const layer of layers) {
    const own = await allocatedBitmap(
      layer.image,
      layer.l2Offsets,
      noHostClusters(layer.image),
      form,
      reading,
    );
    mergeInto(bitmap, own);
  }
  return bitmap;
}

// --- what becomes of each -------------------------------------------------------------------------------------

interface MadeBitmap {
  readonly target: Target;
  readonly report: CreatedBitmap;
  /** undefined: it stays as it is. */
  readonly slot: BitmapSlot | undefined;
}

async function make(
  { image }: ImageToChange,
  target: Target,
  finest: DirtyBitmap,
  { disabled, ifExists }: CreateFromOptions,
): Promise<MadeBitmap> {
  const { name, granularityBits, present } = target;
  const wanted = atGranularity(finest, granularityBits);
  const report = (action: CreatedBitmap['action'], enabled: boolean, bitmap: DirtyBitmap): CreatedBitmap => ({
    name,
    action,
    granularity: 2 ** granularityBits,
    enabled,
    dirtyBytes: dirtyBytes(bitmap),
  });
  if (present === undefined || ifExists !== 'merge') {
    const enabled = disabled !== true;
    return {
      target,
      report: report(present === undefined ? 'created' : 'replaced', enabled, wanted),
      slot: store(name, enabled, wanted),
    };
  }
  const old = await readBitmap(image, present);
  if (countMissing(wanted.bits, old.bits) === 0) {
    return { target, report: report('unchanged', present.auto, old), slot: undefined };
  }
  mergeInto(old, wanted);
  return {
    target,
    report: report('merged', present.auto, old),
    slot: { kind: 'store', name, nameBytes: present.nameBytes, auto: present.auto, bitmap: old },
  };
}

function store(name: string, auto: boolean, bitmap: DirtyBitmap): BitmapSlot {
  return { kind: 'store', name, nameBytes: new TextEncoder().encode(name), auto, bitmap };
}

function atGranularity(bitmap: DirtyBitmap, granularityBits: number): DirtyBitmap {
  return bitmap.granularityBits === granularityBits ? bitmap : resample(bitmap, granularityBits);
}

/** The directory with each made bitmap where its predecessor was, or at the end. */
function directoryWith(present: readonly BitmapDirectoryEntry[], made: readonly MadeBitmap[]): BitmapSlot[] {
  const kept = present.map(
    (entry): BitmapSlot =>
      made.find(({ target }) => target.present === entry)?.slot ?? { kind: 'keep', entry },
  );
  const added = made.flatMap(({ target, slot }) =>
    target.present === undefined && slot !== undefined ? [slot] : [],
  );
  return [...kept, ...added];
}

/** Whether a bitmap that the image has already marks all that the image holds. */
async function coverage(
  { image, path }: ImageToChange,
  entry: BitmapDirectoryEntry,
  finest: DirtyBitmap,
  { onWarning }: CreateFromOptions,
): Promise<KeptBitmap> {
  const { name } = entry;
  if (!isValid(entry)) {
    onWarning?.(
      `${path}: its own bitmap "${name}" is ${entry.inUse ? 'marked in-use' : 'disabled'} and was left so; to make it anew: --name ${name} --if-exists replace`,
    );
  }
  if (entry.inUse) return { name, missingBytes: null };
  const own = await readBitmap(image, entry);
  const missing = cleanBitmap(own.virtualSizeBytes, own.granularityBits);
  mergeInto(missing, atGranularity(finest, own.granularityBits));
  for (let byte = 0; byte < missing.bits.length; byte++) missing.bits[byte]! &= ~own.bits[byte]!;
  const missingBytes = dirtyBytes(missing);
  if (missingBytes > 0) {
    onWarning?.(
      `${path}: its own bitmap "${name}" lacks ${missingBytes} bytes that the image holds: an incremental backup would miss them; to add them: --name ${name} --if-exists merge`,
    );
  }
  return { name, missingBytes };
}
