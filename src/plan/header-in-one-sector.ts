/**
 * Plans the change of the bitmaps extension as one write, which a device stores completely or not at all.
 */
import { alignDown, alignUp } from '../bytes/align.ts';
import { headerStruct } from '../format/header.ts';
import { EXTENSION_TYPE, extensionAreaEnd, extensionFrame } from '../format/header-extensions.ts';
import type { Image } from '../image/image.ts';
import { SECTOR_BYTES } from '../storage/storage.ts';
import { AUTOCLEAR_OFFSET, withBitmapsBit } from './autoclear-bits.ts';
import { BACKING_FILE_OFFSET } from './header-room.ts';
import { type Step, writeHeader } from './plan.ts';

const FRAME_BYTES = extensionFrame.sizeBytes;

/** Writes the new header with QEMU's layout, if it differs from the old one in only one sector. */
export function headerInOneSector(image: Image, payload: Uint8Array | undefined): Step | undefined {
  const wanted = idealHeader(image, payload);
  if (wanted === undefined) return undefined;
  const old = image.headerCluster;
  const sectors = differingSectors(old, wanted);
  const [sector] = sectors;
  if (sector === undefined || sectors.length > 1) return undefined;
  let start = sector;
  while (old[start] === wanted[start]) start++;
  let end = sector + SECTOR_BYTES;
  while (old[end - 1] === wanted[end - 1]) end--;
  return writeHeader(
    start,
    wanted.subarray(start, end),
    'header: bitmaps extension and autoclear bit 0, in one sector',
  );
}

/** The offset of each sector whose bytes differ. */
function differingSectors(old: Uint8Array, wanted: Uint8Array): number[] {
  const offsets = Array.from({ length: old.length / SECTOR_BYTES }, (_, index) => index * SECTOR_BYTES);
  const sectorOf = (bytes: Uint8Array, offset: number) => bytes.subarray(offset, offset + SECTOR_BYTES);
  return offsets.filter((offset) => Buffer.compare(sectorOf(old, offset), sectorOf(wanted, offset)) !== 0);
}

function idealHeader(image: Image, payload: Uint8Array | undefined): Uint8Array | undefined {
  const { header, extensions, headerCluster } = image;
  const areaEnd = extensions.endMarkerOffset ?? extensionAreaEnd(header);
  const others = extensions.list.filter(({ type }) => type !== EXTENSION_TYPE.bitmaps);
  const bytes = headerCluster.slice();
  bytes.fill(0, header.headerLengthBytes, areaEnd);

  let at = header.headerLengthBytes;
  const put = (type: number, data: Uint8Array): boolean => {
    const end = at + FRAME_BYTES + alignUp(data.length, 8);
    if (end > bytes.length) return false;
    extensionFrame.write(bytes, { type, length: data.length }, at);
    bytes.fill(0, at + FRAME_BYTES, end);
    bytes.set(data, at + FRAME_BYTES);
    at = end;
    return true;
  };
  for (const { type, data } of others) put(type, data);
  if (payload !== undefined && !put(EXTENSION_TYPE.bitmaps, payload)) return undefined;
  if (!put(EXTENSION_TYPE.end, new Uint8Array(0))) return undefined;

  const { backingFileOffset, backingFileSizeBytes } = header;
  if (backingFileOffset !== 0 && backingFileOffset < at) {
    const name = headerCluster.subarray(backingFileOffset, backingFileOffset + backingFileSizeBytes);
    if (at + name.length > bytes.length) return undefined;
    bytes.set(name, at);
    bytes.set(headerStruct.encodeField('backingFileOffset', at), BACKING_FILE_OFFSET);
  }
  const autoclearFeatures = withBitmapsBit(image, payload !== undefined);
  bytes.set(headerStruct.encodeField('autoclearFeatures', autoclearFeatures), AUTOCLEAR_OFFSET);
  return bytes;
}

/** Whether the bytes are in two sectors. */
export function straddles(offset: number, lengthBytes: number): boolean {
  return alignDown(offset, SECTOR_BYTES) !== alignDown(offset + lengthBytes - 1, SECTOR_BYTES);
}
