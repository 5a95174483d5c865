/**
 * The header cluster of a new image: header, header extensions and backing file name.
 */
import { alignUp } from '../bytes/align.ts';
import { bitmapsExtensionStruct } from './bitmaps-extension.ts';
import { FormatError } from './format-error.ts';
import { headerStruct, MAGIC, MAX_BACKING_NAME_BYTES } from './header.ts';
import { EXTENSION_TYPE, extensionFrame, MAX_BACKING_FORMAT_BYTES } from './header-extensions.ts';

export interface NewHeader {
  readonly clusterBits: number;
  readonly virtualSizeBytes: number;
  readonly l1EntryCount: number;
  readonly l1TableOffset: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  readonly refcountOrder: number;
  readonly backing: NewBacking | undefined;
}

export interface NewBacking {
  readonly name: string;
  /** For example "qcow2" or "raw". */
  readonly format: string;
}

/** The length that QEMU writes: the fields up to compression_type, which is 0 (zlib), and padding. */
const HEADER_LENGTH_BYTES = 112;

/**
 * Encodes a version 3 header. After the extensions, it leaves room for a bitmaps extension. A later one then
 * does not move the backing file name.
 *
 * @throws FormatError when the name or the format is longer than QEMU allows
 */
export function encodeHeaderCluster(header: NewHeader): Uint8Array {
  const bytes = new Uint8Array(2 ** header.clusterBits);
  const name = header.backing && writeBacking(bytes, header.backing);
  headerStruct.write(bytes, {
    magic: MAGIC,
    version: 3,
    backingFileOffset: name?.offset ?? 0,
    backingFileSize: name?.lengthBytes ?? 0,
    clusterBits: header.clusterBits,
    size: header.virtualSizeBytes,
    cryptMethod: 0,
    l1Size: header.l1EntryCount,
    l1TableOffset: header.l1TableOffset,
    refcountTableOffset: header.refcountTableOffset,
    refcountTableClusters: header.refcountTableClusters,
    nbSnapshots: 0,
    snapshotsOffset: 0,
    incompatibleFeatures: 0n,
    compatibleFeatures: 0n,
    autoclearFeatures: 0n,
    refcountOrder: header.refcountOrder,
    headerLength: HEADER_LENGTH_BYTES,
  });
  return bytes;
}

/** Writes the backing format extension and the backing file name. */
function writeBacking(bytes: Uint8Array, backing: NewBacking): { offset: number; lengthBytes: number } {
  const name = encodeText(backing.name, 'backing file name', MAX_BACKING_NAME_BYTES);
  const format = encodeText(backing.format, 'backing format', MAX_BACKING_FORMAT_BYTES);
  const { sizeBytes: frameBytes } = extensionFrame;
  const endMarkerOffset = HEADER_LENGTH_BYTES + frameBytes + alignUp(format.length, 8);
  const offset = endMarkerOffset + frameBytes + frameBytes + bitmapsExtensionStruct.sizeBytes;
  extensionFrame.write(
    bytes,
    { type: EXTENSION_TYPE.backingFormat, length: format.length },
    HEADER_LENGTH_BYTES,
  );
  bytes.set(format, HEADER_LENGTH_BYTES + frameBytes);
  bytes.set(name, offset);
  return { offset, lengthBytes: name.length };
}

function encodeText(text: string, what: string, mostBytes: number): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= mostBytes) return bytes;
  throw new FormatError(`${what} of ${bytes.length} bytes: QEMU allows ${mostBytes}`, {
    code: 'UNSUPPORTED',
  });
}
