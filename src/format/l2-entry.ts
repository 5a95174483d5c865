/**
 * Decodes L2 table entries to clusters. This module defines the meaning of their bits.
 */
import { type GuestOffset, type HostOffset, hostOffset } from './addresses.ts';
import { FormatError, hex } from './format-error.ts';
import { type Header, subclustersPerCluster } from './header.ts';

/**
 * The state of one cluster of the disk in an image. Offsets are in bytes of the image. If there is an
 * external data file, the offsets of data and zero clusters are in bytes of that file.
 */
export type Cluster =
  | { readonly kind: 'unallocated' }
  | { readonly kind: 'data'; readonly hostOffset: HostOffset }
  /** Reads as zeros. `hostOffset` is undefined if the entry has no host cluster. */
  | { readonly kind: 'zero'; readonly hostOffset: HostOffset | undefined }
  /** `lengthBytes` is rounded up to whole 512-byte sectors, as in the entry. */
  | { readonly kind: 'compressed'; readonly hostOffset: HostOffset; readonly lengthBytes: number }
  /** Extended L2 entry: bit n of a mask stands for subcluster n. No bit is set in both masks. */
  | {
      readonly kind: 'subclusters';
      readonly hostOffset: HostOffset | undefined;
      readonly dataMask: number;
      readonly zeroMask: number;
    };

/** One entry as stored: high and low word of the entry, and of the subcluster bitmap (0 without one). */
export interface L2EntryWords {
  readonly high: number;
  readonly low: number;
  readonly zeroMask: number;
  readonly dataMask: number;
}

const COPIED_HIGH = 0x80000000;
export const COMPRESSED_HIGH = 0x40000000;
/** Bits 56…61. */
export const RESERVED_HIGH = 0x3f000000;
export const OFFSET_HIGH = 0x00ffffff;
export const OFFSET_LOW = 0xfffffe00;
/** Bits 1…8. Bit 0 is reserved too where it is not the zero flag. */
export const RESERVED_LOW = 0x000001fe;
export const ZERO_LOW = 0x00000001;

const UNALLOCATED: Cluster = { kind: 'unallocated' };

/**
 * @param guestOffset the offset of the cluster on the disk, in bytes
 * @throws FormatError when QEMU would treat the entry as corrupt
 */
export function decodeL2Entry(words: L2EntryWords, guestOffset: GuestOffset, header: Header): Cluster {
  const { high, low } = words;
  if ((high & COMPRESSED_HIGH) !== 0) return decodeCompressed(words, guestOffset, header);

  if ((high & RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0) {
    throw invalid(words, guestOffset, 'has reserved bits set');
  }
  const offset = hostOffset((high & OFFSET_HIGH) * 2 ** 32 + ((low & OFFSET_LOW) >>> 0));
  if (offset % header.clusterSizeBytes !== 0) {
    throw invalid(words, guestOffset, 'has an offset that is not a multiple of the cluster size');
  }
  // Offset 0 is valid only in an external data file, where the COPIED bit distinguishes it from "none".
  const hasHost = offset !== 0 || (header.hasDataFile && (high & COPIED_HIGH) !== 0);
  if (hasHost && header.hasDataFile && (offset as number) !== guestOffset) {
    throw invalid(words, guestOffset, 'does not point at the same offset of the external data file');
  }
  const host = hasHost ? offset : undefined;
  const zeroFlag = (low & ZERO_LOW) !== 0;

  if (header.hasExtendedL2) {
    if (zeroFlag) throw invalid(words, guestOffset, 'has bit 0 set, which extended entries reserve');
    return decodeSubclusters(words, guestOffset, host);
  }
  if (zeroFlag) {
    if (header.version === 2) throw invalid(words, guestOffset, 'has the zero flag, which version 2 lacks');
    return { kind: 'zero', hostOffset: host };
  }
  return host === undefined ? UNALLOCATED : { kind: 'data', hostOffset: host };
}

function decodeSubclusters(
  words: L2EntryWords,
  guestOffset: GuestOffset,
  host: HostOffset | undefined,
): Cluster {
  const { dataMask, zeroMask } = words;
  if ((dataMask & zeroMask) !== 0) {
    throw invalid(words, guestOffset, 'marks a subcluster both allocated and zero');
  }
  if (host === undefined && dataMask !== 0) {
    throw invalid(words, guestOffset, 'marks subclusters allocated without a host cluster');
  }
  if (host === undefined && zeroMask === 0) return UNALLOCATED;
  return { kind: 'subclusters', hostOffset: host, dataMask, zeroMask };
}

/** "Compressed Clusters Descriptor" in the specification. */
function decodeCompressed(words: L2EntryWords, guestOffset: GuestOffset, header: Header): Cluster {
  if (header.hasDataFile) {
    throw invalid(words, guestOffset, 'is compressed, which an external data file does not allow');
  }
  if ((words.dataMask | words.zeroMask) !== 0) {
    throw invalid(words, guestOffset, 'is compressed and has subcluster bits set');
  }
  // Bits 0…x-1 are the offset, and bits x…61 the number of additional sectors. x = 62 - (cluster_bits - 8) is
  // at least 49.
  const offsetHighBits = 62 - (header.clusterBits - 8) - 32;
  const high = words.high & 0x3fffffff;
  const offset = hostOffset((high & (2 ** offsetHighBits - 1)) * 2 ** 32 + (words.low >>> 0));
  const sectors = (high >>> offsetHighBits) + 1;
  return { kind: 'compressed', hostOffset: offset, lengthBytes: sectors * 512 - (offset % 512) };
}

function invalid({ high, low }: L2EntryWords, guestOffset: GuestOffset, what: string): FormatError {
  const stored = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  return new FormatError(`L2 entry of the cluster at ${hex(guestOffset)}: ${hex(stored)} ${what}`, {
    remedy: (file) => ({ kind: 'check', file }),
  });
}

/**
 * `allocated`: the image itself has the content, including zeros (QEMU's BDRV_BLOCK_ALLOCATED). `data`: the
 * entry alone does not make the content read as zeros.
 */
export type Content = 'allocated' | 'data';

/** The mask of the subclusters with that content. Without subclusters, only bit 0 is used. */
export function contentMask(cluster: Cluster, content: Content, header: Header): number {
  const whole = subclustersPerCluster(header) === 1 ? 1 : 0xffffffff;
  switch (cluster.kind) {
    case 'unallocated':
      return 0;
    case 'subclusters':
      return content === 'data' ? cluster.dataMask : (cluster.dataMask | cluster.zeroMask) >>> 0;
    case 'zero':
      return content === 'data' ? 0 : whole;
    case 'data':
    case 'compressed':
      return whole;
  }
}
