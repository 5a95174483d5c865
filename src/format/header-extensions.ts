/**
 * Header extensions ("Header extensions" in the specification): their frames and their offsets.
 */
import { alignUp } from '../bytes/align.ts';
import { cString } from '../bytes/c-string.ts';
import { OffsetTooLargeError, struct } from '../bytes/struct.ts';
import { type HostRange, hostOffset } from './addresses.ts';
import { FormatError, hex } from './format-error.ts';
import type { Header } from './header.ts';

export const EXTENSION_TYPE = {
  end: 0x00000000,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
  encryptionHeader: 0x0537be77,
  dataFile: 0x44415441,
} as const;

export const extensionFrame = struct({ type: [0, 'u32'], length: [4, 'u32'] });

export const encryptionHeaderStruct = struct({ offset: [0, 'offset'], length: [8, 'offset'] });

/** QEMU keeps the format name in 16 bytes, including the terminator. */
export const MAX_BACKING_FORMAT_BYTES = 15;

export interface HeaderExtension {
  readonly type: number;
  /** Where the frame starts in the image. */
  readonly offset: number;
  readonly data: Uint8Array;
  /** The length in the frame. It differs from the length of `data` only where a wrong length was replaced. */
  readonly storedLengthBytes: number;
}

export interface HeaderExtensions {
  readonly list: readonly HeaderExtension[];
  /** The offset of the end marker. Undefined if the extensions fill the area without one. */
  readonly endMarkerOffset: number | undefined;
}

/** The end of the area for extensions. */
export function extensionAreaEnd({ backingFileOffset, clusterSizeBytes }: Header): number {
  return backingFileOffset === 0 ? clusterSizeBytes : backingFileOffset;
}

/**
 * @param headerCluster the first cluster of the image
 * @param lengthOf replaces a wrong length of a frame
 * @throws FormatError when an extension does not fit into the area
 */
export function parseHeaderExtensions(
  headerCluster: Uint8Array,
  header: Header,
  lengthOf: (type: number, storedLengthBytes: number) => number = (_, stored) => stored,
): HeaderExtensions {
  const end = extensionAreaEnd(header);
  const list: HeaderExtension[] = [];
  let offset = header.headerLengthBytes;
  while (offset < end) {
    const dataOffset = offset + extensionFrame.sizeBytes;
    if (dataOffset > end) {
      throw new FormatError(`header extension at ${hex(offset)}: does not fit before ${hex(end)}`);
    }
    const { type, length: storedLengthBytes } = extensionFrame.read(headerCluster, offset);
    const length = lengthOf(type, storedLengthBytes);
    if (length > end - dataOffset) {
      throw new FormatError(
        `header extension ${hex(type)} at ${hex(offset)}: length is ${length}, must be at most ${end - dataOffset}`,
      );
    }
    if (type === EXTENSION_TYPE.end) return { list, endMarkerOffset: offset };
    const data = headerCluster.subarray(dataOffset, dataOffset + length);
    list.push({ type, offset, data, storedLengthBytes });
    offset = dataOffset + alignUp(length, 8);
  }
  return { list, endMarkerOffset: undefined };
}

/** The last extension of `type`. If there are two, QEMU uses the later one. */
export function findExtension({ list }: HeaderExtensions, type: number): HeaderExtension | undefined {
  return list.findLast((extension) => extension.type === type);
}

/**
 * The stored backing format, for example "qcow2" or "raw". Undefined if the image has none, so that it is
 * probed.
 */
export function backingFormat(extensions: HeaderExtensions): string | undefined {
  const extension = findExtension(extensions, EXTENSION_TYPE.backingFormat);
  if (extension === undefined) return undefined;
  if (extension.data.length > MAX_BACKING_FORMAT_BYTES) {
    throw new FormatError(
      `backing format extension at ${hex(extension.offset)}: length is ${extension.data.length}, must be at most ${MAX_BACKING_FORMAT_BYTES}`,
    );
  }
  return cString(extension.data) || undefined;
}

/** The range of the full disk encryption header (LUKS). */
export function encryptionHeader(extensions: HeaderExtensions, header: Header): HostRange | undefined {
  const extension = findExtension(extensions, EXTENSION_TYPE.encryptionHeader);
  if (extension === undefined) return undefined;
  const where = `encryption header extension at ${hex(extension.offset)}`;
  if (header.cryptMethod !== 'luks') {
    throw new FormatError(`${where}: crypt_method is ${header.cryptMethod}, must be LUKS`);
  }
  if (extension.data.length !== encryptionHeaderStruct.sizeBytes) {
    throw new FormatError(
      `${where}: length is ${extension.data.length}, must be ${encryptionHeaderStruct.sizeBytes}`,
    );
  }
  const { offset, length } = readEncryptionHeader(extension.data, where);
  if (offset % header.clusterSizeBytes !== 0) {
    throw new FormatError(`${where}: offset is ${hex(offset)}, must be a multiple of the cluster size`);
  }
  return { offset: hostOffset(offset), length };
}

function readEncryptionHeader(data: Uint8Array, where: string) {
  try {
    return encryptionHeaderStruct.read(data);
  } catch (error) {
    if (!(error instanceof OffsetTooLargeError)) throw error;
    throw new FormatError(`${where}: ${error.message}`);
  }
}
