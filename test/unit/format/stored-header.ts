/** Headers as bytes, written by the byte numbers of the specification ("Header"). */
import { type Header, parseHeader } from '../../../src/format/header.ts';

/** Field, first byte and size, by the names of the specification. */
const FIELDS = {
  magic: [0, 4],
  version: [4, 4],
  backing_file_offset: [8, 8],
  backing_file_size: [16, 4],
  cluster_bits: [20, 4],
  size: [24, 8],
  crypt_method: [32, 4],
  l1_size: [36, 4],
  l1_table_offset: [40, 8],
  refcount_table_offset: [48, 8],
  refcount_table_clusters: [56, 4],
  nb_snapshots: [60, 4],
  snapshots_offset: [64, 8],
  incompatible_features: [72, 8],
  compatible_features: [80, 8],
  autoclear_features: [88, 8],
  refcount_order: [96, 4],
  header_length: [100, 4],
  compression_type: [104, 1],
} as const;

export type HeaderFields = Partial<Record<keyof typeof FIELDS, number | bigint>>;

const EXTENDED_L2 = 1n << 4n;

/** A sound version 3 header of a disk of 1 MiB, in one cluster, with the given fields changed. */
export function storedHeader(changes: HeaderFields = {}): Uint8Array {
  const clusterBits = Number(changes.cluster_bits ?? 16);
  const clusterSize = 2 ** Math.min(clusterBits, 21);
  const size = Number(BigInt.asUintN(53, BigInt(changes.size ?? 2 ** 20)));
  const entries = clusterSize / ((BigInt(changes.incompatible_features ?? 0) & EXTENDED_L2) === 0n ? 8 : 16);
  const isVersion2 = changes.version === 2;
  const bytes = new Uint8Array(Math.max(512, clusterSize));
  const fields: HeaderFields = {
    magic: 0x514649fb,
    version: 3,
    cluster_bits: clusterBits,
    size: 2 ** 20,
    l1_size: Math.min(Math.max(1, Math.ceil(size / (entries * clusterSize))), 2 ** 22),
    l1_table_offset: 3 * clusterSize,
    refcount_table_offset: clusterSize,
    refcount_table_clusters: 1,
    ...(isVersion2 ? {} : { refcount_order: 4, header_length: 104 }),
    ...changes,
  };
  for (const [name, value] of Object.entries(fields)) setField(bytes, name as keyof typeof FIELDS, value);
  return bytes;
}

/** Writes one field of a header. */
function setField(bytes: Uint8Array, name: keyof typeof FIELDS, value: number | bigint): void {
  const [byte, size] = FIELDS[name];
  let rest = BigInt(value);
  for (let index = byte + size - 1; index >= byte; index--) {
    bytes[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

export function parsedHeader(changes: HeaderFields = {}): Header {
  return parseHeader(storedHeader(changes));
}

/** A header of the given geometry, with extended L2 entries or without. */
export function geometry(clusterBits: number, extendedL2 = false, changes: HeaderFields = {}): Header {
  return parsedHeader({
    cluster_bits: clusterBits,
    ...(extendedL2 ? { incompatible_features: EXTENDED_L2 } : {}),
    ...changes,
  });
}
