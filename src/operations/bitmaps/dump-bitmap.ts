/**
 * Reads the marks of one bitmap.
 */
import { type DirtyBitmap, dirtyBytes, mergeInto, resample } from '../../bitmap/dirty-bitmap.ts';
import { dirtyShares } from '../../bitmap/dirty-shares.ts';
import { changesOf } from '../../bytes/chunked-bits.ts';
import { allLayers, type Chain } from '../../chain/chain.ts';
import { parseReference } from '../../chain/reference.ts';
import { ALLOCATED } from '../../checkpoint/names.ts';
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';
import type { Image } from '../../image/image.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../../image/stored-bitmaps.ts';
import { withQcow2 } from '../open-qcow2.ts';
import type { OperationOptions } from '../options.ts';
import { readNamedBitmap } from './named-bitmaps.ts';

/** A part of the disk in bytes, as `nbdinfo --json --map=qemu:dirty-bitmap:NAME` shows it. */
export interface DumpExtent {
  readonly offset: number;
  readonly length: number;
  readonly type: 0 | 1;
  readonly description: 'clean' | 'dirty';
}

/** Extents in columns; valid until the next ones are requested. */
export interface DumpColumns {
  readonly count: number;
  readonly offsets: Float64Array;
  readonly lengths: Float64Array;
  /** 1 for a dirty extent, 0 for a clean one. */
  readonly types: Uint8Array;
}

export interface BitmapDump {
  readonly image: string;
  readonly name: string;
  readonly virtualSize: number;
  readonly granularity: number;
  readonly dirtyBytes: number;
  /** Covers the whole disk, clean and dirty in turn. */
  extents(): Generator<DumpExtent>;
  /** The same in columns, for output of millions of extents. */
  columns(): Generator<DumpColumns>;
  /** The dirty share of each of `partCount` equal parts of the disk. */
  dirtyShares(partCount: number): number[];
}

export interface DumpOptions extends OperationOptions {
  /** Unite the bitmaps of that name in all images of the chain, as libvirt does for an incremental backup. */
  readonly chain?: boolean | undefined;
}

/**
 * @param name of a stored bitmap, or `#ALLOCATED` for the allocation of the image itself
 * @throws RefusedError when there is no such bitmap, or its content cannot be trusted
 */
export async function dumpBitmap(
  imageName: string,
  name: string,
  options: DumpOptions = {},
): Promise<BitmapDump> {
  const reference = parseReference(imageName, undefined);
  return withQcow2(reference, options, async ({ image, path }, chain) => {
    const own = await readNamedBitmap(image, await entriesToRead(image, name), name, options);
    const bitmap = options.chain ? await withLowerImages(own, chain, name, options) : own;
    return {
      image: path,
      name,
      virtualSize: bitmap.virtualSizeBytes,
      granularity: 2 ** bitmap.granularityBits,
      dirtyBytes: dirtyBytes(bitmap),
      ...wholeDisk(bitmap),
    };
  });
}

/** @throws RefusedError when the bitmaps are stale: nothing shows then whether one of that name is missing */
async function entriesToRead(image: Image, name: string): Promise<BitmapDirectoryEntry[]> {
  if (name !== ALLOCATED) refuseStaleBitmaps(image);
  return readBitmapDirectory(image);
}

/**
 * Adds the bitmaps of that name in the images below. The result has the finest of their granularities.
 *
 * @throws RefusedError when one of them cannot be trusted, since the union would lack changes
 */
export async function withLowerImages(
  own: DirtyBitmap,
  chain: Chain,
  name: string,
  options: OperationOptions,
): Promise<DirtyBitmap> {
  let united = own;
  for (const { image } of (await allLayers(chain)).slice(1).filter((layer) => layer.format === 'qcow2')) {
    const entries = await entriesToRead(image, name);
    const has = name === ALLOCATED || entries.some((entry) => entry.name === name);
    if (!has) continue;
    const lower = await readNamedBitmap(image, entries, name, options);
    united = resample(united, Math.min(united.granularityBits, lower.granularityBits));
    mergeInto(united, lower);
  }
  return united;
}

/** What a dump tells of the whole disk. */
export function wholeDisk(bitmap: DirtyBitmap): Pick<BitmapDump, 'extents' | 'columns' | 'dirtyShares'> {
  return {
    columns: () => inColumns(bitmap),
    extents: () => oneByOne(bitmap),
    dirtyShares: (partCount) => dirtyShares(bitmap, partCount),
  };
}

function* oneByOne(bitmap: DirtyBitmap): Generator<DumpExtent> {
  for (const { count, offsets, lengths, types } of inColumns(bitmap)) {
    for (let index = 0; index < count; index++) {
      const [offset, length] = [offsets[index]!, lengths[index]!];
      yield types[index] === 1
        ? { offset, length, type: 1, description: 'dirty' }
        : { offset, length, type: 0, description: 'clean' };
    }
  }
}

/** The maximum number of extents in one item of the iteration. */
const BATCH = 16 * 1024;

function* inColumns(bitmap: DirtyBitmap): Generator<DumpColumns> {
  const { bits, virtualSizeBytes, granularityBits } = bitmap;
  const granularityBytes = 2 ** granularityBits;
  const changes = changesOf(bits);
  const ends = new Float64Array(BATCH);
  const [offsets, lengths] = [new Float64Array(BATCH), new Float64Array(BATCH)];
  const types = new Uint8Array(BATCH);
  let start = 0;
  let type = 0;
  while (start < virtualSizeBytes) {
    const found = changes.next(ends);
    // The last extent ends with the disk.
    if (found === 0) ends[0] = virtualSizeBytes / granularityBytes;
    let count = 0;
    for (let index = 0; index < Math.max(1, found); index++) {
      const end = ends[index]! * granularityBytes;
      if (end > start) {
        offsets[count] = start;
        lengths[count] = end - start;
        types[count++] = type;
      }
      start = end;
      type = 1 - type;
    }
    if (count > 0) yield { count, offsets, lengths, types };
  }
}
