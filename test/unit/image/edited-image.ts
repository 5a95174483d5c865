/** A qcow2 image made by qemu-img, whose bitmap structures are edited by the byte numbers of the specification. */
import { readFile } from 'node:fs/promises';
import { qemuImg } from '../../support/qemu.ts';

const BITMAPS_EXTENSION = 0x23852875;
const AUTOCLEAR = 88;
const HEADER_LENGTH = 100;

/** An entry of the bitmap directory, field by field. */
export interface RawEntry {
  tableOffset: number;
  tableSize: number;
  flags: number;
  type: number;
  granularityBits: number;
  name: string | Uint8Array;
  extraData: Uint8Array;
}

export interface ExtensionFields {
  length?: number;
  count?: number;
  reserved?: number;
  size?: number | bigint;
  offset?: number | bigint;
}

const roundUp = (length: number) => Math.ceil(length / 8) * 8;

/** The stored form: 24 bytes, extra data, name, padding. */
export function rawEntry(entry: RawEntry): Buffer {
  const name = Buffer.from(entry.name);
  const bytes = Buffer.alloc(roundUp(24 + entry.extraData.length + name.length));
  bytes.writeBigUInt64BE(BigInt(entry.tableOffset), 0);
  bytes.writeUInt32BE(entry.tableSize, 8);
  bytes.writeUInt32BE(entry.flags, 12);
  bytes.writeUInt8(entry.type, 16);
  bytes.writeUInt8(entry.granularityBits, 17);
  bytes.writeUInt16BE(name.length, 18);
  bytes.writeUInt32BE(entry.extraData.length, 20);
  bytes.set(entry.extraData, 24);
  bytes.set(name, 24 + entry.extraData.length);
  return bytes;
}

export class EditedImage {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Makes an image with empty bitmaps of 512 bytes granularity, and some free space after its last cluster. */
  static async make(
    path: string,
    size: string,
    clusterSize: number,
    bitmaps: readonly string[],
  ): Promise<EditedImage> {
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', `cluster_size=${clusterSize}`, path, size);
    for (const name of bitmaps) await qemuImg('bitmap', '--add', '-g', '512', path, name);
    const bytes = await readFile(path);
    const whole = Math.ceil(bytes.length / clusterSize) * clusterSize;
    return new EditedImage(Buffer.concat([bytes, Buffer.alloc(whole - bytes.length + 8 * clusterSize)]));
  }

  copy(): EditedImage {
    return new EditedImage(Buffer.from(this.bytes));
  }

  /** Where the frame of a bitmaps extension is; of several the last one counts. */
  extensionAt(which = -1): number {
    const found: number[] = [];
    for (let at = this.bytes.readUInt32BE(HEADER_LENGTH); this.bytes.readUInt32BE(at) !== 0; ) {
      if (this.bytes.readUInt32BE(at) === BITMAPS_EXTENSION) found.push(at);
      at += 8 + roundUp(this.bytes.readUInt32BE(at + 4));
    }
    return found.at(which)!;
  }

  setExtension({ length, count, reserved, size, offset }: ExtensionFields, which = -1): void {
    const at = this.extensionAt(which);
    if (length !== undefined) this.bytes.writeUInt32BE(length, at + 4);
    if (count !== undefined) this.bytes.writeUInt32BE(count, at + 8);
    if (reserved !== undefined) this.bytes.writeUInt32BE(reserved, at + 12);
    if (size !== undefined) this.bytes.writeBigUInt64BE(BigInt(size), at + 16);
    if (offset !== undefined) this.bytes.writeBigUInt64BE(BigInt(offset), at + 24);
  }

  /** Adds a copy of the bitmaps extension after it, where there must be nothing yet. */
  doubleExtension(): void {
    const at = this.extensionAt();
    this.bytes.copyWithin(at + 32, at, at + 32);
    this.bytes.fill(0, at + 64, at + 72);
  }

  setAutoclear(value: number): void {
    this.bytes.writeBigUInt64BE(BigInt(value), AUTOCLEAR);
  }

  get directoryOffset(): number {
    return Number(this.bytes.readBigUInt64BE(this.extensionAt() + 24));
  }

  get directorySize(): number {
    return Number(this.bytes.readBigUInt64BE(this.extensionAt() + 16));
  }

  entries(): RawEntry[] {
    const list: RawEntry[] = [];
    const end = this.directoryOffset + this.directorySize;
    for (let at = this.directoryOffset; at < end; ) {
      const nameSize = this.bytes.readUInt16BE(at + 18);
      const extraSize = this.bytes.readUInt32BE(at + 20);
      const nameAt = at + 24 + extraSize;
      list.push({
        tableOffset: Number(this.bytes.readBigUInt64BE(at)),
        tableSize: this.bytes.readUInt32BE(at + 8),
        flags: this.bytes.readUInt32BE(at + 12),
        type: this.bytes.readUInt8(at + 16),
        granularityBits: this.bytes.readUInt8(at + 17),
        name: Uint8Array.from(this.bytes.subarray(nameAt, nameAt + nameSize)),
        extraData: Uint8Array.from(this.bytes.subarray(at + 24, nameAt)),
      });
      at += roundUp(24 + extraSize + nameSize);
    }
    return list;
  }

  /** Writes the directory where it was, with count and size to match. */
  writeDirectory(entries: readonly RawEntry[]): void {
    const bytes = Buffer.concat(entries.map(rawEntry));
    this.bytes.fill(0, this.directoryOffset, this.directoryOffset + this.directorySize);
    this.bytes.set(bytes, this.directoryOffset);
    this.setExtension({ count: entries.length, size: bytes.length });
  }

  mapEntries(changes: readonly Partial<RawEntry>[]): void {
    this.writeDirectory(this.entries().map((entry, index) => ({ ...entry, ...changes[index] })));
  }

  changeEntry(index: number, change: Partial<RawEntry>): void {
    this.writeDirectory(this.entries().map((entry, at) => (at === index ? { ...entry, ...change } : entry)));
  }

  writeTable(index: number, entries: readonly bigint[]): void {
    const { tableOffset } = this.entries()[index]!;
    entries.forEach((entry, at) => {
      this.bytes.writeBigUInt64BE(entry, tableOffset + at * 8);
    });
  }
}
