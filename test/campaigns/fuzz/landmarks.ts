/** Finds the structures of an image as far as possible, as targets of the mutator. */

/** One number as stored, big-endian. */
export interface Landmark {
  readonly offset: number;
  readonly width: 1 | 2 | 4 | 8;
}

/** By structure: a mutator that picks a structure first meets the short header as often as the long L2 tables. */
export type Landmarks = ReadonlyMap<string, readonly Landmark[]>;

const BITMAPS_EXTENSION = 0x23852875;
/** Of any table: the rest is more of the same. */
const MOST_ENTRIES = 64;

const HEADER_FIELDS = [
  [0, 4],
  [4, 4],
  [8, 8],
  [16, 4],
  [20, 4],
  [24, 8],
  [32, 4],
  [36, 4],
  [40, 8],
  [48, 8],
  [56, 4],
  [60, 4],
  [64, 8],
  [72, 8],
  [80, 8],
  [88, 8],
  [96, 4],
  [100, 4],
  [104, 1],
] as const;

const SNAPSHOT_FIELDS = [
  [0, 8],
  [8, 4],
  [12, 2],
  [14, 2],
  [32, 4],
  [36, 4],
] as const;

const DIRECTORY_FIELDS = [
  [0, 8],
  [8, 4],
  [12, 4],
  [16, 1],
  [17, 1],
  [18, 2],
  [20, 4],
] as const;

/** @param image a sound image; what lies beyond it is left out */
export function landmarksOf(image: Buffer): Landmarks {
  const found = new Map<string, Landmark[]>();
  const put = (structure: string, offset: number, width: Landmark['width']): void => {
    if (offset + width > image.length) return;
    const list = found.get(structure) ?? [];
    list.push({ offset, width });
    found.set(structure, list);
  };
  const u32 = (at: number) => (at + 4 <= image.length ? image.readUInt32BE(at) : 0);
  const u64 = (at: number) => (at + 8 <= image.length ? Number(image.readBigUInt64BE(at)) : 0);
  const place = (at: number) => u64(at) % 2 ** 56;

  for (const [offset, width] of HEADER_FIELDS) put('header', offset, width);
  const isV3 = u32(4) === 3;
  const clusterBytes = 2 ** u32(20);
  const backingOffset = u64(8);
  for (let at = 0; at < u32(16); at++) put('backing file name', backingOffset + at, 1);

  const areaEnd = backingOffset || clusterBytes;
  for (let at = isV3 ? u32(100) : 72; at + 8 <= areaEnd; ) {
    const [type, length] = [u32(at), u32(at + 4)];
    put('extension frame', at, 4);
    put('extension frame', at + 4, 4);
    if (type === 0) break;
    if (type === BITMAPS_EXTENSION) {
      for (const [offset, width] of [
        [8, 4],
        [12, 4],
        [16, 8],
        [24, 8],
      ] as const) {
        put('bitmaps extension', at + offset, width);
      }
      addDirectory(u64(at + 24), u64(at + 16));
    } else {
      for (let byte = 0; byte < length; byte++) put('extension data', at + 8 + byte, 1);
      for (let word = 0; word + 8 <= length; word += 8) put('extension data', at + 8 + word, 8);
    }
    at += 8 + Math.ceil(length / 8) * 8;
  }

  addTables('L1 table', u64(40), u32(36));
  const refcountTable = u64(48);
  for (let index = 0; index < MOST_ENTRIES && index * 8 < u32(56) * clusterBytes; index++) {
    put('refcount table', refcountTable + index * 8, 8);
    const block = place(refcountTable + index * 8);
    if (block === 0) continue;
    for (let at = 0; at < MOST_ENTRIES; at += 2) put('refcount block', block + at, 2);
  }
  for (let index = 0, at = u64(64); index < u32(60); index++) {
    for (const [offset, width] of SNAPSHOT_FIELDS) put('snapshot table', at + offset, width);
    addTables('L1 table of a snapshot', place(at), u32(at + 8));
    const length = 40 + u32(at + 36) + image.readUInt16BE(at + 12) + image.readUInt16BE(at + 14);
    at += Math.ceil(length / 8) * 8;
  }
  return found;

  function addTables(what: string, l1Offset: number, count: number): void {
    for (let index = 0; index < Math.min(count, MOST_ENTRIES); index++) {
      put(what, l1Offset + index * 8, 8);
      const l2Offset = place(l1Offset + index * 8);
      if (l2Offset === 0) continue;
      let entries = 0;
      for (let at = 0; at < clusterBytes && entries < MOST_ENTRIES; at += 8) {
        // Empty entries are many, and each as good as another.
        if (u64(l2Offset + at) === 0 && at > 128) continue;
        put('L2 table', l2Offset + at, 8);
        entries++;
      }
    }
  }

  function addDirectory(offset: number, sizeBytes: number): void {
    for (let at = offset; at + 24 <= Math.min(offset + sizeBytes, image.length); ) {
      for (const [field, width] of DIRECTORY_FIELDS) put('bitmap directory', at + field, width);
      const nameBytes = image.readUInt16BE(at + 18);
      for (let byte = 0; byte < nameBytes; byte++) put('bitmap name', at + 24 + byte, 1);
      const table = u64(at);
      for (let index = 0; index < Math.min(u32(at + 8), MOST_ENTRIES); index++) {
        put('bitmap table', table + index * 8, 8);
        const data = place(table + index * 8);
        if (data > 1) for (let byte = 0; byte < 64; byte += 8) put('bitmap data', data + byte, 8);
      }
      at += 24 + Math.ceil((nameBytes + u32(at + 20)) / 8) * 8;
    }
  }
}
