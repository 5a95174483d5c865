/**
 * A fast, branch-free pass over the stored words of L2 tables. It gives exactly the result of
 * decodeL2Entry, or reports that the tables need that decoder. For standard entries, l2-kernel.wat is the
 * faster version.
 */
import type { Header } from './header.ts';
import { OFFSET_HIGH, OFFSET_LOW, ZERO_LOW } from './l2-entry.ts';
import { kernelOf, type L2Kernel } from './l2-kernel.ts';
import { oddBits } from './l2-plain.ts';

const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** Converts between a stored big-endian word and its value on a little-endian machine. */
function swap(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

export interface L2Scan {
  /** Receives one bit for each cluster or subcluster, set if the image itself has its content. */
  readonly allocated: Uint8Array;
  /** Receives a set bit for each host cluster that an entry names. */
  readonly referenced: Uint8Array;
  /** Host clusters in the file, at most 2^31. This pass does not check entries that name a later one. */
  readonly hostClusterCount: number;
}

/**
 * Scans adjacent tables. It uses the kernel if all the arrays are in the kernel's memory (see kernelArrays).
 *
 * @param tables L2 tables as stored, 4-aligned in their buffer
 * @returns false when an entry is compressed, unusual or broken. Then `allocated` is meaningless, and every
 * entry must be decoded. `referenced` has only bits of clusters that entries name.
 */
export function scanL2Tables(tables: Uint8Array, header: Header, scan: L2Scan): boolean {
  // Rare cases, left to the decoder.
  if (header.hasDataFile || header.version === 2) return false;
  const { buffer } = tables;
  const kernel = header.hasExtendedL2 ? undefined : kernelOf(tables);
  if (kernel !== undefined && buffer === scan.allocated.buffer && buffer === scan.referenced.buffer) {
    return scanWith(kernel, tables, header, scan);
  }
  // This pass does not support big-endian machines.
  if (!LITTLE_ENDIAN) return false;
  // Arithmetic on signed words stays within the machine's 32-bit integers.
  const words = new Int32Array(buffer, tables.byteOffset, tables.byteLength / 4);
  return header.hasExtendedL2 ? scanExtended(words, header, scan) : scanStandard(words, header, scan);
}

function scanWith(
  kernel: L2Kernel,
  { byteOffset, byteLength }: Uint8Array,
  { clusterBits }: Header,
  { allocated, referenced, hostClusterCount }: L2Scan,
): boolean {
  const plain = kernel(
    byteOffset,
    byteOffset + byteLength,
    allocated.byteOffset,
    referenced.byteOffset,
    clusterBits,
    hostClusterCount - 1,
  );
  return plain === 1;
}

function scanStandard(words: Int32Array, header: Header, scan: L2Scan): boolean {
  const { allocated, referenced } = scan;
  const odd = oddBits(header);
  const oddHigh = swap(odd.high);
  const oddLow = swap(odd.low);
  const usedHigh = swap(OFFSET_HIGH);
  const usedLow = swap(OFFSET_LOW | ZERO_LOW);
  const { clusterBits } = header;
  const highShift = 32 - clusterBits;
  const lastCluster = scan.hostClusterCount - 1;
  let found = 0;
  let beyond = 0;

  for (let word = 0, byte = 0; word < words.length; byte++) {
    let bits = 0;
    for (let bit = 0; bit < 8; bit++, word += 2) {
      const storedHigh = words[word]!;
      const storedLow = words[word + 1]!;
      found |= (storedHigh & oddHigh) | (storedLow & oddLow);
      const used = (storedHigh & usedHigh) | (storedLow & usedLow);
      bits |= ((used | -used) >>> 31) << bit;

      // An entry without a host cluster names cluster 0 here. That is the header, which is always in use.
      const high = swap(storedHigh & usedHigh);
      const cluster = (high << highShift) | (swap(storedLow) >>> clusterBits);
      found |= high >>> clusterBits;
      // Negative if the cluster is past the last one. The store is then outside the array and has no effect.
      beyond |= cluster | (lastCluster - cluster);
      referenced[cluster >>> 3]! |= 1 << (cluster & 7);
    }
    allocated[byte] = bits;
  }
  return found === 0 && beyond >= 0;
}

function scanExtended(words: Int32Array, header: Header, scan: L2Scan): boolean {
  const { allocated, referenced } = scan;
  const odd = oddBits(header);
  const oddHigh = swap(odd.high);
  const oddLow = swap(odd.low);
  const usedHigh = swap(OFFSET_HIGH);
  const usedLow = swap(OFFSET_LOW);
  const { clusterBits } = header;
  const highShift = 32 - clusterBits;
  const lastCluster = scan.hostClusterCount - 1;
  let found = 0;
  let beyond = 0;

  for (let word = 0, byte = 0; word < words.length; word += 4, byte += 4) {
    const storedHigh = words[word]!;
    const storedLow = words[word + 1]!;
    const zeroMask = swap(words[word + 2]!);
    const dataMask = swap(words[word + 3]!);
    const used = (storedHigh & usedHigh) | (storedLow & usedLow);
    // Data without a host cluster, or a subcluster with both bits: the decoder reports these errors.
    const noHost = ~((used | -used) >> 31);
    found |= (storedHigh & oddHigh) | (storedLow & oddLow) | (zeroMask & dataMask) | (dataMask & noHost);

    const mask = zeroMask | dataMask;
    allocated[byte] = mask;
    allocated[byte + 1] = mask >>> 8;
    allocated[byte + 2] = mask >>> 16;
    allocated[byte + 3] = mask >>> 24;

    const high = swap(storedHigh & usedHigh);
    const cluster = (high << highShift) | (swap(storedLow) >>> clusterBits);
    found |= high >>> clusterBits;
    beyond |= cluster | (lastCluster - cluster);
    referenced[cluster >>> 3]! |= 1 << (cluster & 7);
  }
  return found === 0 && beyond >= 0;
}
