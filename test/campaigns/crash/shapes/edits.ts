/** Changes to header bytes that QEMU's tools do not make. */

const field = {
  backingFileOffset: 8,
  backingFileSize: 16,
  clusterBits: 20,
  refcountTableOffset: 48,
  autoclear: 88,
  refcountOrder: 96,
  headerLength: 100,
};
const bitmapsType = 0x23852875;
const unknownType = 0x0badcafe;
const frameBytes = 8;

interface Extension {
  type: number;
  at: number;
  length: number;
}

/** Up to and including the end marker. */
function extensions(image: Buffer): Extension[] {
  const found: Extension[] = [];
  for (let at = image.readUInt32BE(field.headerLength); ; ) {
    const extension = { type: image.readUInt32BE(at), at, length: image.readUInt32BE(at + 4) };
    found.push(extension);
    if (extension.type === 0) return found;
    at += frameBytes + Math.ceil(extension.length / 8) * 8;
  }
}

function requireNoBackingName(image: Buffer): void {
  if (image.readBigUInt64BE(field.backingFileOffset) !== 0n) throw new Error('a name would be in the way');
}

function unknownExtension(length: number): Buffer {
  const bytes = Buffer.alloc(frameBytes + length, 0xee);
  bytes.writeUInt32BE(unknownType, 0);
  bytes.writeUInt32BE(length, 4);
  return bytes;
}

function insertAt(image: Buffer, at: number, added: Buffer): void {
  requireNoBackingName(image);
  const end = extensions(image).at(-1)!.at + frameBytes;
  image.copy(image, at + added.length, at, end);
  added.copy(image, at);
}

/** Puts an extension before all others, so that the payload of the bitmaps extension starts there in its sector. */
export function payloadAtInSector(place: number): (image: Buffer) => void {
  return (image) => {
    const { at } = extensions(image).find(({ type }) => type === bitmapsType)!;
    const shift = (place - (at + frameBytes) + 2 * 512) % 512;
    if (shift < frameBytes) throw new Error(`no extension of ${shift} bytes`);
    insertAt(image, image.readUInt32BE(field.headerLength), unknownExtension(shift - frameBytes));
  };
}

/** Puts an extension behind all others. */
export function unknownExtensionLast(length: number): (image: Buffer) => void {
  return (image) => insertAt(image, extensions(image).at(-1)!.at, unknownExtension(length));
}

/** As a cut leaves it in the middle of a change of a payload in two sectors; the earlier one names nothing real. */
export function bitmapsExtensionTwice(image: Buffer): void {
  const { at, length } = extensions(image).findLast(({ type }) => type === bitmapsType)!;
  const second = Buffer.from(image.subarray(at, at + frameBytes + length));
  insertAt(image, extensions(image).at(-1)!.at, second);
  // Old values that pass QEMU's checks: one more bitmap, in a longer directory somewhere else.
  image.writeUInt32BE(image.readUInt32BE(at + frameBytes) + 1, at + frameBytes);
  image.writeBigUInt64BE(image.readBigUInt64BE(at + frameBytes + 8) + 32n, at + frameBytes + 8);
  image.writeBigUInt64BE(1n << 20n, at + frameBytes + 16);
}

export function setUnknownAutoclearBits(image: Buffer): void {
  image[field.autoclear]! |= 0x80;
  image[field.autoclear + 7]! |= 0x20;
}

/** Marks the first bitmap of the directory as in use, as after a crash of the program that had it open. */
export function firstBitmapInUse(image: Buffer): void {
  const { at } = extensions(image).findLast(({ type }) => type === bitmapsType)!;
  const directory = Number(image.readBigUInt64BE(at + frameBytes + 16));
  image[directory + 15]! |= 1;
}

/** Gives clusters without a reference the refcount 1, as a power cut leaves them. Their refcount blocks must exist. */
export function leak(clusters: (fileClusters: number) => number[]): (image: Buffer) => void {
  return (image) => {
    const clusterBytes = 2 ** image.readUInt32BE(field.clusterBits);
    const width = 2 ** image.readUInt32BE(field.refcountOrder);
    const perBlock = (clusterBytes * 8) / width;
    const table = Number(image.readBigUInt64BE(field.refcountTableOffset));
    for (const cluster of clusters(Math.ceil(image.length / clusterBytes))) {
      const block = Number(image.readBigUInt64BE(table + Math.floor(cluster / perBlock) * 8));
      if (block === 0) throw new Error(`cluster ${cluster} has no refcount block`);
      const bit = block * 8 + (cluster % perBlock) * width;
      if (width < 8) image[bit >> 3]! |= 1 << (bit & 7);
      else image[(bit + width) / 8 - 1] = 1;
    }
  };
}

export function inTurn(...edits: ((image: Buffer) => void)[]): (image: Buffer) => void {
  return (image) => {
    for (const edit of edits) edit(image);
  };
}
