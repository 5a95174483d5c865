/**
 * The sources of new bitmaps: those that were proposed for the job block-dirty-bitmap-create-from, and more.
 */
import { cleanBitmap, type DirtyBitmap, markRange, mergeInto, resample } from '../../bitmap/dirty-bitmap.ts';
import type { ByteRange } from '../../bytes/range.ts';
import type { Chain } from '../../chain/chain.ts';
import type { RawLayer } from '../../chain/layer.ts';
import { parseReference } from '../../chain/reference.ts';
import { ALLOCATED } from '../../checkpoint/names.ts';
import { UsageError } from '../../errors.ts';
import { layerBitmap } from '../../guest/allocation/layer-bitmap.ts';
import { type ActiveTables, readActiveTables } from '../../image/image.ts';
import type { TableReading } from '../../image/read-tables.ts';
import { type Scan, scanActiveTables } from '../../image/scan.ts';
import { tableReading } from '../../image/table-progress.ts';
import { fileIdentity } from '../../storage/file.ts';
import { dataRanges } from '../../storage/holes.ts';
import { counted } from '../../text/counted.ts';
import { type NamedBitmaps, visitNamedBitmaps } from '../bitmaps/named-bitmaps.ts';
import type { ImageToChange } from '../change-bitmaps.ts';
import type { OperationOptions } from '../options.ts';
import { type ComparedImage, markDifferences } from './mark-differences.ts';

export type BitmapSource =
  /** The allocation of images: data, compressed or zero clusters. */
  | {
      readonly kind: 'allocated';
      /** Include every image above this one. Without it, only the image itself counts. */
      readonly above?: string | undefined;
    }
  /** Like `allocated`, but without parts that read as zeros. */
  | { readonly kind: 'data'; readonly above?: string | undefined }
  /** The union of stored bitmaps. */
  | ({ readonly kind: 'bitmap' } & NamedBitmaps)
  /** The parts of the disk whose guest data differs from that of another image. */
  | ({ readonly kind: 'compare' } & ComparedImage)
  /** Parts of the disk, in bytes. */
  | { readonly kind: 'extents'; readonly extents: Iterable<ByteRange> }
  /** The whole disk. */
  | { readonly kind: 'everything' };

/**
 * Whether the source marks every write. From another source, the bitmap of a checkpoint would miss changes.
 */
export const INHERITS: Readonly<Record<BitmapSource['kind'], boolean>> = {
  allocated: true,
  data: false,
  bitmap: false,
  compare: true,
  extents: false,
  everything: true,
};

/** The name of the bitmap when none is given or inherited. */
export function defaultName(source: BitmapSource): string {
  if (source.kind !== 'bitmap' || source.names.length !== 1) return source.kind;
  const [name] = source.names;
  return name === undefined || name === ALLOCATED ? 'allocated' : name;
}

export interface Marks {
  readonly bitmap: DirtyBitmap;
  /** Images below the top that the compared disk is also read through. */
  readonly sharedImages: readonly string[];
}

export interface ReadSource extends Marks {
  /** The scan of the image itself. A change needs it for every source. */
  readonly scan: Scan;
  readonly reading: TableReading;
}

/** The marks of the source, at `granularityBits`. */
export async function readSource(
  target: ImageToChange,
  source: BitmapSource,
  granularityBits: number,
  options: OperationOptions,
): Promise<ReadSource> {
  const { chain, tables } = target;
  if (source.kind === 'allocated' || source.kind === 'data') {
    return readContent(chain, tables, source, granularityBits, options);
  }
  const reading = tableReading([tables], options);
  const scan = await scanActiveTables(tables, undefined, reading);
  return { ...(await readOther(chain, source, granularityBits, options)), scan, reading };
}

/**
 * Reads the marks for an image that is not written to: qcow2 of any version, or raw.
 *
 * @throws UsageError, RefusedError depending on the source
 */
export async function readSourceOf(
  chain: Chain,
  source: BitmapSource,
  granularityBits: number,
  options: OperationOptions,
): Promise<Marks> {
  if (source.kind !== 'allocated' && source.kind !== 'data')
    return readOther(chain, source, granularityBits, options);
  const { top } = chain;
  if (top.format === 'raw') return readRaw(chain, top, source, granularityBits);
  const tables = await readActiveTables(top.image);
  return readContent(chain, tables, source, granularityBits, options);
}

/** The union of stored bitmaps, at the finest granularity among them. */
export async function readAtFinest(
  chain: Chain,
  source: NamedBitmaps,
  options: OperationOptions,
): Promise<Marks> {
  let united: DirtyBitmap | undefined;
  await visitNamedBitmaps(chain, source, options, (each) => {
    const granularityBits = Math.min(each.granularityBits, united?.granularityBits ?? each.granularityBits);
    const marks = resample(united ?? each, granularityBits);
    mergeInto(marks, each);
    united = marks;
  });
  if (united === undefined) throw new UsageError('no bitmap is named');
  return { bitmap: united, sharedImages: [] };
}

/** Reads a source other than `allocated` and `data`. */
async function readOther(
  chain: Chain,
  source: Exclude<BitmapSource, { readonly kind: 'allocated' | 'data' }>,
  granularityBits: number,
  options: OperationOptions,
): Promise<Marks> {
  const { virtualSizeBytes } = chain.top;
  const bitmap = cleanBitmap(virtualSizeBytes, granularityBits);
  // Without code after the switch, the compiler finds a missing source, which would mark nothing.
  switch (source.kind) {
    case 'bitmap':
      await visitNamedBitmaps(chain, source, options, (each) => mergeInto(bitmap, each));
      return { bitmap, sharedImages: [] };
    case 'compare':
      return { bitmap, sharedImages: await markDifferences(bitmap, chain, source, options) };
    case 'extents':
      for (const { offset, length } of source.extents) markListed(bitmap, offset, length);
      return { bitmap, sharedImages: [] };
    case 'everything':
      markRange(bitmap, 0, virtualSizeBytes);
      return { bitmap, sharedImages: [] };
  }
}

/** A raw image is allocated as a whole; its holes read as zeros. */
async function readRaw(
  chain: Chain,
  { storage, virtualSizeBytes }: RawLayer,
  { kind, above }: ContentSource,
  granularityBits: number,
): Promise<Marks> {
  // A raw image has no image below it, so this call throws the error for `above`.
  if (above !== undefined) await imagesDownTo(chain, above);
  const bitmap = cleanBitmap(virtualSizeBytes, granularityBits);
  const data = kind === 'data' ? await dataRanges(storage.fd, 0, virtualSizeBytes) : undefined;
  for (const { start, end } of data ?? [{ start: 0, end: virtualSizeBytes }])
    markRange(bitmap, start, end - start);
  return { bitmap, sharedImages: [] };
}

export function markListed(bitmap: DirtyBitmap, offset: number, length: number): void {
  if (![offset, length].every((bytes) => Number.isSafeInteger(bytes) && bytes >= 0)) {
    throw new UsageError(
      `extent of ${counted(length, 'byte')} at ${offset}: both must be whole numbers, not below 0`,
    );
  }
  if (offset + length > bitmap.virtualSizeBytes) {
    throw new UsageError(
      `extent of ${counted(length, 'byte')} at ${offset} reaches beyond the end of the disk at ${bitmap.virtualSizeBytes}: the list is for another disk`,
    );
  }
  markRange(bitmap, offset, length);
}

type ContentSource = Extract<BitmapSource, { readonly kind: 'allocated' | 'data' }>;

async function readContent(
  chain: Chain,
  tables: ActiveTables,
  { kind, above }: ContentSource,
  granularityBits: number,
  options: OperationOptions,
): Promise<ReadSource> {
  const { images: between, hidden } =
    above === undefined ? NOTHING_BETWEEN : await imagesDownTo(chain, above);
  const reading = tableReading([tables, ...between], options);
  const form = {
    content: kind,
    virtualSizeBytes: chain.top.virtualSizeBytes,
    granularityBits,
  };
  const { bitmap, scan } = await layerBitmap(tables, form, reading);
  for (const each of between) mergeInto(bitmap, (await layerBitmap(each, form, reading)).bitmap);
  markRange(bitmap, hidden.offset, hidden.length);
  return { bitmap, scan, reading, sharedImages: [] };
}

interface ImagesBetween {
  /** Top first, without the top of the chain and without the base. */
  readonly images: readonly ActiveTables[];
  /**
   * The part of the base past the end of a shorter image above it. It is not allocated in these images, but
   * the disk reads zeros there instead of the data of the base.
   */
  readonly hidden: ByteRange;
}

const NOTHING_BETWEEN: ImagesBetween = { images: [], hidden: { offset: 0, length: 0 } };

/**
 * The images between the top of the chain and the base.
 *
 * @throws UsageError when the base is not an image below the top
 */
async function imagesDownTo(chain: Chain, base: string): Promise<ImagesBetween> {
  const identity = await fileIdentity(parseReference(base, undefined).path);
  if (chain.top.storage.identity === identity) throw baseIsTop(base);
  const images: ActiveTables[] = [];
  const seen: string[] = [chain.top.path];
  for (let depth = 1; ; depth++) {
    const layer = await chain.layer(depth);
    if (layer?.storage.identity === identity) {
      const shortest = images.reduce(
        (size, { image }) => Math.min(size, image.header.virtualSizeBytes),
        layer.virtualSizeBytes,
      );
      return { images, hidden: { offset: shortest, length: layer.virtualSizeBytes - shortest } };
    }
    // A raw image ends every chain, so the base is not in this chain.
    if (layer?.format !== 'qcow2') {
      const names = layer === undefined ? seen : [...seen, layer.path];
      throw baseIsElsewhere(base, names);
    }
    seen.push(layer.path);
    images.push(await readActiveTables(layer.image));
  }
}

export function baseIsTop(base: string): UsageError {
  return new UsageError(`base ${base}: this is the image itself, not an image below it`);
}

/** @param paths of the images of the chain, top first */
export function baseIsElsewhere(base: string, paths: readonly string[]): UsageError {
  return new UsageError(`base ${base}: not in the backing chain, which is ${paths.join(' ← ')}`);
}
