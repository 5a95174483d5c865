/** Finds the disk of an image: every L1 and L2 entry of the active disk and of the internal snapshots. */
import { hex, u16, u32, u64 } from './bytes.ts';
import type { ImageHeader } from './header.ts';
import type { StoredRefcounts } from './refcounts.ts';
import type { References } from './references.ts';

/** Numbers that are equal in two images exactly if their disks lie in the same places. */
type DiskMap = number[];

export interface GuestData {
  map: DiskMap;
  /** The parts of the file whose content is the disk's. */
  ranges: { start: number; end: number }[];
}

const compressedHighBit = 0x40000000;
const copiedHighBit = 0x80000000;

export class GuestDataReader {
  readonly errors: string[] = [];
  readonly data: GuestData = { map: [], ranges: [] };
  readonly #image: Uint8Array;
  readonly #header: ImageHeader;
  readonly #references: References;
  readonly #refcounts: StoredRefcounts;

  constructor(image: Uint8Array, header: ImageHeader, references: References, refcounts: StoredRefcounts) {
    this.#image = image;
    this.#header = header;
    this.#references = references;
    this.#refcounts = refcounts;
  }

  read(): GuestData {
    const { l1 } = this.#header;
    this.#readDisk(l1.offset, l1.entryCount, true);
    this.#readSnapshots();
    return this.data;
  }

  #readSnapshots(): void {
    const { snapshots } = this.#header;
    let at = snapshots.offset;
    for (let index = 0; index < snapshots.count; index++) {
      this.data.map.push(-1, index);
      this.#readDisk(u64(this.#image, at), u32(this.#image, at + 8), false);
      const idAndName = u16(this.#image, at + 12) + u16(this.#image, at + 14);
      at += Math.ceil((40 + u32(this.#image, at + 36) + idAndName) / 8) * 8;
    }
    this.#references.add('snapshot table', snapshots.offset, at - snapshots.offset);
    this.#keep(snapshots.offset, at - snapshots.offset);
  }

  #readDisk(l1Offset: number, l1EntryCount: number, isActive: boolean): void {
    this.#references.add('L1 table', l1Offset, l1EntryCount * 8);
    for (let index = 0; index < l1EntryCount; index++) {
      const at = l1Offset + index * 8;
      const l2Offset = hostOffset(this.#image, at);
      if (l2Offset === 0) continue;
      this.data.map.push(index, l2Offset);
      if (isActive) this.#checkCopied(`L1 entry ${index}`, u32(this.#image, at), l2Offset);
      this.#readL2Table(l2Offset, isActive);
    }
  }

  #readL2Table(l2Offset: number, isActive: boolean): void {
    const { clusterBytes, l2EntryBytes } = this.#header;
    this.#references.add('L2 table', l2Offset, clusterBytes);
    for (let at = l2Offset; at < l2Offset + clusterBytes; at += l2EntryBytes) {
      const high = u32(this.#image, at);
      const low = u32(this.#image, at + 4);
      const rest = l2EntryBytes === 16 ? [u32(this.#image, at + 8), u32(this.#image, at + 12)] : [];
      if (high === 0 && low === 0 && rest.every((word) => word === 0)) continue;
      this.data.map.push(at, high, low, ...rest);
      if ((high & compressedHighBit) !== 0) {
        this.#addCompressed(high, low);
        continue;
      }
      const offset = hostOffset(this.#image, at);
      if (offset === 0 || this.#header.hasDataFile) continue;
      this.#references.add('data', offset, clusterBytes);
      this.#keep(offset, clusterBytes);
      if (isActive) this.#checkCopied(`L2 entry at ${hex(at)}`, high, offset);
    }
  }

  /** Compressed clusters: the sectors they touch, sharing host clusters with each other. */
  #addCompressed(high: number, low: number): void {
    const offsetBits = 62 - (this.#header.clusterBits - 8);
    const word = ((BigInt(high) << 32n) | BigInt(low)) & ((1n << 62n) - 1n);
    const offset = Number(word & ((1n << BigInt(offsetBits)) - 1n));
    const sectors = Number(word >> BigInt(offsetBits)) + 1;
    const sizeBytes = sectors * 512 - (offset % 512);
    this.#references.add('data', offset, sizeBytes);
    this.#keep(offset, sizeBytes);
  }

  /** COPIED says that the refcount is exactly one; QEMU counts anything else as corruption. */
  #checkCopied(what: string, high: number, offset: number): void {
    const isCopied = (high & copiedHighBit) !== 0;
    const refcount = this.#refcounts.of(offset / this.#header.clusterBytes);
    if (isCopied !== (refcount === 1)) {
      this.errors.push(`${what}: COPIED is ${isCopied}, the refcount of ${hex(offset)} is ${refcount}`);
    }
  }

  #keep(offset: number, sizeBytes: number): void {
    const last = this.data.ranges.at(-1);
    if (last?.end === offset) last.end = offset + sizeBytes;
    else this.data.ranges.push({ start: offset, end: offset + sizeBytes });
  }
}

/** Bits 9 to 55 of an entry. */
function hostOffset(image: Uint8Array, at: number): number {
  return (u32(image, at) & 0x00ffffff) * 2 ** 32 + ((u32(image, at + 4) & 0xfffffe00) >>> 0);
}
