/**
 * Reads the marks of one bitmap.
 */
import { allocatedBitmap } from '../allocation/layer-bitmap.ts';
import { type DirtyBitmap, dirtyBytes, dirtyExtents } from '../bitmap/dirty-bitmap.ts';
import { readBitmap } from '../bitmap/read-bitmap.ts';
import { openChain } from '../chain/chain.ts';
import { parseReference } from '../chain/reference.ts';
import { ALLOCATED } from '../checkpoint/names.ts';
import { RefusedError } from '../errors.ts';
import type { BitmapDirectoryEntry } from '../format/bitmap-directory.ts';
import { readBitmapDirectory, refuseStaleBitmaps } from '../image/bitmap-directory.ts';
import { noHostClusters } from '../image/host-clusters.ts';
import { type Image, readActiveL1Table } from '../image/image.ts';
import { requireQcow2 } from './change-bitmaps.ts';
import { defaultGranularityBits } from './granularity.ts';
import { lockingOf, type OperationOptions } from './options.ts';
import { tableReading } from './table-progress.ts';

/** A part of the disk, as `nbdinfo --json --map=qemu:dirty-bitmap:NAME` shows it; bytes. */
export interface DumpExtent {
  readonly offset: number;
  readonly length: number;
  readonly type: 0 | 1;
  readonly description: 'clean' | 'dirty';
}

export interface BitmapDump {
  readonly image: string;
  readonly name: string;
  readonly virtualSize: number;
  readonly granularity: number;
  readonly dirtyBytes: number;
  /** Covers the whole disk, clean and dirty in turn. */
  extents(): Generator<DumpExtent>;
}

/**
 * @param name of a stored bitmap, or `#ALLOCATED` for what the image itself holds
 * @throws RefusedError when there is no such bitmap, or its content cannot be trusted
 */
export async function dumpBitmap(
  imageName: string,
  name: string,
  options: OperationOptions = {},
): Promise<BitmapDump> {
  const chain = await openChain(parseReference(imageName, undefined), {
    mode: 'read',
    locking: lockingOf(options),
    onWarning: options.onWarning,
  });
  try {
    const { image, path } = requireQcow2(chain);
    const bitmap = name === ALLOCATED ? await allocated(image, options) : await stored(image, name);
    return {
      image: path,
      name,
      virtualSize: bitmap.virtualSizeBytes,
      granularity: 2 ** bitmap.granularityBits,
      dirtyBytes: dirtyBytes(bitmap),
      extents: () => wholeDisk(bitmap),
    };
  } finally {
    await chain.close();
  }
}

async function allocated(image: Image, options: OperationOptions): Promise<DirtyBitmap> {
  const l2Offsets = await readActiveL1Table(image);
  const { virtualSizeBytes } = image.header;
  const form = { virtualSizeBytes, granularityBits: defaultGranularityBits(image.header) };
  const reading = tableReading([{ image, l2Offsets }], options);
  return allocatedBitmap(image, l2Offsets, noHostClusters(image), form, reading);
}

async function stored(image: Image, name: string): Promise<DirtyBitmap> {
  refuseStaleBitmaps(image);
  const entry = requireBitmap(image, await readBitmapDirectory(image), name);
  if (entry.inUse) {
    throw new RefusedError(
      'BITMAP_INCONSISTENT',
      `${image.storage.name}: bitmap "${name}" is marked in-use: it was not stored after its last use, so its content means nothing`,
      {
        hint: `Unless a guest is running on it, replace it: bitmap-tool create-from --allocated --name ${name} --if-exists replace ${image.storage.name}`,
        context: { file: image.storage.name, bitmap: name },
      },
    );
  }
  return readBitmap(image, entry);
}

/** @throws RefusedError naming the bitmaps that there are */
export function requireBitmap(
  { storage }: Image,
  entries: readonly BitmapDirectoryEntry[],
  name: string,
): BitmapDirectoryEntry {
  const entry = entries.find((each) => each.name === name);
  if (entry !== undefined) return entry;
  const names = entries.map((each) => each.name);
  throw new RefusedError('BITMAP_NOT_FOUND', `${storage.name}: no bitmap "${name}"`, {
    hint:
      names.length === 0
        ? 'The image has no bitmaps.'
        : `It has: ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`,
    context: { file: storage.name, bitmap: name, bitmaps: names },
  });
}

function* wholeDisk(bitmap: DirtyBitmap): Generator<DumpExtent> {
  let end = 0;
  for (const { offset, length } of dirtyExtents(bitmap)) {
    if (offset > end) yield { offset: end, length: offset - end, type: 0, description: 'clean' };
    yield { offset, length, type: 1, description: 'dirty' };
    end = offset + length;
  }
  const { virtualSizeBytes } = bitmap;
  if (virtualSizeBytes > end)
    yield { offset: end, length: virtualSizeBytes - end, type: 0, description: 'clean' };
}
