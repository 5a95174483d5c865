/**
 * What new bitmaps mark: the sources that the job block-dirty-bitmap-create-from was to have, and more.
 */

import { cleanBitmap, type DirtyBitmap, markRange, mergeInto, resample } from '../../bitmap/dirty-bitmap.ts';
import type { ByteRange } from '../../bytes/range.ts';
import type { Chain } from '../../chain/chain.ts';
import type { RawLayer } from '../../chain/layer.ts';
import { parseReference } from '../../chain/reference.ts';
import { UsageError } from '../../errors.ts';
import { layerBitmap } from '../../guest/allocation/layer-bitmap.ts';
import { type ActiveTables, readActiveTables } from '../../image/image.ts';
import type { L2Reading } from '../../image/read-l2-tables.ts';
import { type Scan, scanActiveTables } from '../../image/scan.ts';
import { tableReading } from '../../image/table-progress.ts';
import { fileIdentity } from '../../storage/file.ts';
import { dataRanges } from '../../storage/holes.ts';
import { type NamedBitmaps, visitNamedBitmaps } from '../bitmaps/named-bitmaps.ts';
import type { ImageToChange } from '../change-bitmaps.ts';
import type { OperationOptions } from '../options.ts';
import { type ComparedImage, markDifferences } from './mark-differences.ts';

export type BitmapSource =
  /** What images hold: data, compressed or zero clusters. */
  | {
      readonly kind: 'allocated';
      /** Every image from the top down to, not including, this one counts; without it only the image itself. */
      readonly above?: string | undefined;
    }
  /** As `allocated`, without what reads as zeros. */
  | { readonly kind: 'data'; readonly above?: string | undefined }
  /** The union of stored bitmaps. */
  | ({ readonly kind: 'bitmap' } & NamedBitmaps)
  /** Where what a guest sees differs from what it would see of another image. */
  | ({ readonly kind: 'compare' } & ComparedImage)
  /** Parts of the disk, in bytes. */
  | { readonly kind: 'extents'; readonly extents: Iterable<ByteRange> }
  /** The whole disk. */
  | { readonly kind: 'everything' };

export interface Marks {
  readonly bitmap: DirtyBitmap;
  /** Images below the top that a compared disk is read through as well. */
  readonly sharedImages: readonly string[];
}

export interface ReadSource extends Marks {
  /** Of the image itself: whatever the source, a change needs it. */
  readonly scan: Scan;
  readonly reading: L2Reading;
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
 * The same of an image that nothing is written to: qcow2 of any version, or raw.
 *
 * @throws UsageError, RefusedError as the source demands
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

/** The union of stored bitmaps at the finest granularity that one of them has. */
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

/** A source that is not about what the image itself holds. */
async function readOther(
  chain: Chain,
  source: Exclude<BitmapSource, { readonly kind: 'allocated' | 'data' }>,
  granularityBits: number,
  options: OperationOptions,
): Promise<Marks> {
  const { virtualSizeBytes } = chain.top;
  const bitmap = cleanBitmap(virtualSizeBytes, granularityBits);
  switch (source.kind) {
    case 'bitmap':
      await visitNamedBitmaps(chain, source, options, (each) => mergeInto(bitmap, each));
      break;
    case 'compare':
      return { bitmap, sharedImages: await markDifferences(bitmap, chain, source, options) };
    case 'extents':
      for (const { offset, length } of source.extents) markListed(bitmap, offset, length);
      break;
    case 'everything':
      markRange(bitmap, 0, virtualSizeBytes);
  }
  return { bitmap, sharedImages: [] };
}

/** A raw image holds all of its disk; its holes read as zeros. */
async function readRaw(
  chain: Chain,
  { storage, virtualSizeBytes }: RawLayer,
  { kind, above }: ContentSource,
  granularityBits: number,
): Promise<Marks> {
  // There is nothing below it to stop above.
  if (above !== undefined) await imagesAbove(chain, above);
  const bitmap = cleanBitmap(virtualSizeBytes, granularityBits);
  const data = kind === 'data' ? await dataRanges(storage.fd, 0, virtualSizeBytes) : undefined;
  for (const { start, end } of data ?? [{ start: 0, end: virtualSizeBytes }])
    markRange(bitmap, start, end - start);
  return { bitmap, sharedImages: [] };
}

export function markListed(bitmap: DirtyBitmap, offset: number, length: number): void {
  if (![offset, length].every((bytes) => Number.isSafeInteger(bytes) && bytes >= 0)) {
    throw new UsageError(`extent of ${length} bytes at ${offset}: both must be whole numbers, not below 0`);
  }
  if (offset + length > bitmap.virtualSizeBytes) {
    throw new UsageError(
      `extent of ${length} bytes at ${offset} reaches beyond the end of the disk at ${bitmap.virtualSizeBytes}: the list is that of another disk`,
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
  const { images: below, hidden } = above === undefined ? NOTHING_BELOW : await imagesAbove(chain, above);
  const reading = tableReading([tables, ...below], options);
  const form = {
    content: kind,
    virtualSizeBytes: chain.top.virtualSizeBytes,
    granularityBits,
  };
  const { bitmap, scan } = await layerBitmap(tables, form, reading);
  for (const each of below) mergeInto(bitmap, (await layerBitmap(each, form, reading)).bitmap);
  markRange(bitmap, hidden.offset, hidden.length);
  return { bitmap, scan, reading, sharedImages: [] };
}

interface ImagesAbove {
  readonly images: readonly ActiveTables[];
  /**
   * What the base has past the end of a shorter image above it: no image holds it, and yet the disk reads zeros there
   * and not what the base has.
   */
  readonly hidden: ByteRange;
}

const NOTHING_BELOW: ImagesAbove = { images: [], hidden: { offset: 0, length: 0 } };

/** The images below the top that stand above the base. */
async function imagesAbove(chain: Chain, above: string): Promise<ImagesAbove> {
  const base = await fileIdentity(parseReference(above, undefined).path);
  if (chain.top.storage.identity === base) {
    throw new UsageError(`base ${above}: this is the image itself, not an image below it`);
  }
  const images: ActiveTables[] = [];
  const seen: string[] = [chain.top.path];
  for (let depth = 1; ; depth++) {
    const layer = await chain.layer(depth);
    if (layer?.storage.identity === base) {
      const shortest = images.reduce(
        (size, { image }) => Math.min(size, image.header.virtualSizeBytes),
        layer.virtualSizeBytes,
      );
      return { images, hidden: { offset: shortest, length: layer.virtualSizeBytes - shortest } };
    }
    // A raw image ends every chain: the base is not there.
    if (layer?.format !== 'qcow2') {
      const names = layer === undefined ? seen : [...seen, layer.path];
      throw new UsageError(`base ${above}: not in the backing chain, which is ${names.join(' ← ')}`);
    }
    seen.push(layer.path);
    images.push(await readActiveTables(layer.image));
  }
}
