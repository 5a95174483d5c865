/**
 * The bitmaps header extension ("Bitmaps extension" in the specification).
 */
import { OffsetTooLargeError, struct } from '../bytes/struct.ts';
import { AUTOCLEAR } from './features.ts';
import { FormatError, hex } from './format-error.ts';
import type { Header } from './header.ts';
import {
  EXTENSION_TYPE,
  findExtension,
  type HeaderExtension,
  type HeaderExtensions,
} from './header-extensions.ts';

export const bitmapsExtensionStruct = struct({
  nbBitmaps: [0, 'u32'],
  reserved: [4, 'u32'],
  bitmapDirectorySize: [8, 'offset'],
  bitmapDirectoryOffset: [16, 'offset'],
});

/** QEMU's QCOW2_MAX_BITMAPS. */
export const MAX_BITMAPS = 65535;
/** QEMU's QCOW2_MAX_BITMAP_DIRECTORY_SIZE, in bytes: every name of the greatest length. */
export const MAX_BITMAP_DIRECTORY_BYTES = 67_107_840;

export interface BitmapDirectoryLocation {
  readonly bitmapCount: number;
  readonly offset: number;
  readonly sizeBytes: number;
}

/**
 * What the header says of bitmaps. `stale`: some software that knows no bitmaps changed the image since
 * (autoclear bit 0 is clear), so QEMU ignores the extension and drops it at its next read-write open.
 */
export type BitmapsState =
  | { readonly kind: 'none' }
  | { readonly kind: 'stale'; readonly extension: HeaderExtension }
  | {
      readonly kind: 'live';
      readonly extension: HeaderExtension;
      readonly directory: BitmapDirectoryLocation;
    };

/** @throws FormatError when a live extension breaks one of the rules by which QEMU refuses the whole image */
export function bitmapsState(extensions: HeaderExtensions, header: Header): BitmapsState {
  const extension = findExtension(extensions, EXTENSION_TYPE.bitmaps);
  if (extension === undefined) return { kind: 'none' };
  const all = extensions.list.filter(({ type }) => type === EXTENSION_TYPE.bitmaps);
  const unframed = all.find(({ data }) => data.length !== bitmapsExtensionStruct.sizeBytes);
  if (unframed !== undefined) {
    throw broken(unframed, `length is ${unframed.data.length}, must be ${bitmapsExtensionStruct.sizeBytes}`);
  }
  if ((header.autoclearFeatures & AUTOCLEAR.bitmaps) === 0n) {
    return isRetired(extension) ? { kind: 'none' } : { kind: 'stale', extension };
  }
  // QEMU judges each one that it meets, though only the last counts.
  for (const each of all) parsePayload(each, header);
  return { kind: 'live', extension, directory: parsePayload(extension, header) };
}

/**
 * An extension that this tool emptied, because others behind it kept it from being cut off: all zeros, with the
 * autoclear bit clear.
 */
function isRetired({ data }: HeaderExtension): boolean {
  return data.every((byte) => byte === 0);
}

function parsePayload(extension: HeaderExtension, header: Header): BitmapDirectoryLocation {
  const payload = readPayload(extension);
  const { nbBitmaps, reserved, bitmapDirectorySize, bitmapDirectoryOffset } = payload;
  if (reserved !== 0) throw broken(extension, `the reserved field is ${hex(reserved)}, must be 0`);
  if (nbBitmaps === 0 || nbBitmaps > MAX_BITMAPS) {
    throw broken(extension, `nb_bitmaps is ${nbBitmaps}, must be 1…${MAX_BITMAPS}`);
  }
  if (bitmapDirectoryOffset === 0 || bitmapDirectoryOffset % header.clusterSizeBytes !== 0) {
    throw broken(
      extension,
      `bitmap_directory_offset is ${hex(bitmapDirectoryOffset)}, must be a multiple of the cluster size and not 0`,
    );
  }
  if (bitmapDirectorySize === 0 || bitmapDirectorySize > MAX_BITMAP_DIRECTORY_BYTES) {
    throw broken(
      extension,
      `bitmap_directory_size is ${bitmapDirectorySize}, must be 1…${MAX_BITMAP_DIRECTORY_BYTES}`,
    );
  }
  return { bitmapCount: nbBitmaps, offset: bitmapDirectoryOffset, sizeBytes: bitmapDirectorySize };
}

function readPayload(extension: HeaderExtension) {
  try {
    return bitmapsExtensionStruct.read(extension.data);
  } catch (error) {
    if (!(error instanceof OffsetTooLargeError)) throw error;
    throw broken(extension, error.message);
  }
}

/** What to do about a directory for which QEMU refuses the whole image. */
export const UNOPENABLE_HINT =
  'QEMU cannot open the image either. Take a copy of the image first; then clearing autoclear bit 0 gives up its bitmaps and makes it open again.';

function broken({ offset }: HeaderExtension, what: string): FormatError {
  return new FormatError(`bitmaps extension at ${hex(offset)}: ${what}`, { hint: UNOPENABLE_HINT });
}

/** The stored payload of an extension for `directory`; all zeros without one. */
export function encodeBitmapsPayload(directory: BitmapDirectoryLocation | undefined): Uint8Array {
  const bytes = new Uint8Array(bitmapsExtensionStruct.sizeBytes);
  if (directory !== undefined) {
    bitmapsExtensionStruct.write(bytes, {
      nbBitmaps: directory.bitmapCount,
      reserved: 0,
      bitmapDirectorySize: directory.sizeBytes,
      bitmapDirectoryOffset: directory.offset,
    });
  }
  return bytes;
}
