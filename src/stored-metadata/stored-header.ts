/**
 * The stored header of an image and its extensions. Broken rules are ignored.
 */
import { alignUp } from '../bytes/align.ts';
import { cString } from '../bytes/c-string.ts';
import { bitmapsExtensionStruct } from '../format/bitmaps-extension.ts';
import { parseFeatureNames } from '../format/features.ts';
import { headerStruct } from '../format/header.ts';
import { EXTENSION_TYPE, encryptionHeaderStruct, extensionFrame } from '../format/header-extensions.ts';

/** A number, its hexadecimal form if it is above 2^53, or text. The names are those of the specification. */
export type StoredFields = Readonly<Record<string, number | string>>;

interface StoredExtension {
  /** Offset of its frame in the image. */
  readonly offset: number;
  readonly type: number;
  /** null for an unknown type. */
  readonly name: string | null;
  readonly length: number;
  readonly fields: StoredFields;
  /** The first bytes of the data in hexadecimal; null where `fields` has them all. */
  readonly data: string | null;
}

export interface StoredExtensions {
  readonly list: readonly StoredExtension[];
  /** Offset of the end marker; null if the area has none. */
  readonly endMarkerOffset: number | null;
}

const SHOWN_BYTES = 64;
const FEATURE_TYPES = ['incompatible', 'compatible', 'autoclear'];

/** @param start the first bytes of the image, at least the header cluster */
export function storedHeader(start: Uint8Array): StoredFields {
  const isVersion2 = headerStruct.stored(start).some(([field, value]) => field === 'version' && value === 2n);
  const v2Bytes = headerStruct.byteOf('incompatibleFeatures');
  const stored = headerStruct
    .stored(start)
    .filter(([field]) => !isVersion2 || headerStruct.byteOf(field) < v2Bytes);
  const fields: Record<string, number | string> = storedFields(stored);
  const { header_length: headerLength = 0, backing_file_offset: offset, backing_file_size: size } = fields;
  const compressionByte = headerStruct.sizeBytes;
  if (Number(headerLength) > compressionByte) fields['compression_type'] = start[compressionByte]!;
  if (offset !== 0)
    fields['backing_file'] = cString(start.subarray(Number(offset), Number(offset) + Number(size)));
  return fields;
}

/** @param start the first bytes of the image; longer extensions are cut off */
export function storedExtensions(start: Uint8Array, header: StoredFields): StoredExtensions {
  const backingOffset = Number(header['backing_file_offset']);
  const end = backingOffset === 0 ? start.length : Math.min(backingOffset, start.length);
  const list: StoredExtension[] = [];
  let offset = Number(header['header_length'] ?? headerStruct.byteOf('incompatibleFeatures'));
  while (offset + extensionFrame.sizeBytes <= end) {
    const { type, length } = extensionFrame.read(start, offset);
    if (type === EXTENSION_TYPE.end) return { list, endMarkerOffset: offset };
    const dataOffset = offset + extensionFrame.sizeBytes;
    const data = start.subarray(dataOffset, Math.min(dataOffset + length, end));
    list.push({ offset, type, length, ...contentOf(type, data) });
    offset = dataOffset + alignUp(length, 8);
  }
  return { list, endMarkerOffset: null };
}

function contentOf(type: number, data: Uint8Array): Pick<StoredExtension, 'name' | 'fields' | 'data'> {
  const [name, fields] = knownContent(type, data) ?? [null, undefined];
  if (fields !== undefined) return { name, fields, data: null };
  return { name, fields: {}, data: Buffer.from(data.subarray(0, SHOWN_BYTES)).toString('hex') };
}

/** Returns no fields if the data are too short. */
function knownContent(
  type: number,
  data: Uint8Array,
): [name: string, fields: StoredFields | undefined] | undefined {
  switch (type) {
    case EXTENSION_TYPE.backingFormat:
      return ['backing file format name', { format: cString(data) }];
    case EXTENSION_TYPE.dataFile:
      return ['external data file name', { filename: cString(data) }];
    case EXTENSION_TYPE.featureNames:
      return ['feature name table', featureNames(data)];
    case EXTENSION_TYPE.bitmaps:
      return ['bitmaps', fieldsOf(bitmapsExtensionStruct, data)];
    case EXTENSION_TYPE.encryptionHeader:
      return ['full disk encryption header', fieldsOf(encryptionHeaderStruct, data)];
    default:
      return undefined;
  }
}

function featureNames(data: Uint8Array): StoredFields {
  const names = parseFeatureNames(data);
  return Object.fromEntries(
    names.map(({ type, bit, name }) => [`${FEATURE_TYPES[type] ?? `type ${type}`} bit ${bit}`, name]),
  );
}

interface StoredStruct {
  readonly sizeBytes: number;
  stored(bytes: Uint8Array, at?: number): [field: string, value: bigint][];
}

function fieldsOf(struct: StoredStruct, bytes: Uint8Array): StoredFields | undefined {
  return bytes.length < struct.sizeBytes ? undefined : storedFields(struct.stored(bytes));
}

/** `l1TableOffset` is `l1_table_offset` in the specification. */
export function storedFields(
  stored: readonly [field: string, value: bigint][],
): Record<string, number | string> {
  return Object.fromEntries(
    stored.map(([field, value]) => [
      field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value <= Number.MAX_SAFE_INTEGER ? Number(value) : `0x${value.toString(16)}`,
    ]),
  );
}
