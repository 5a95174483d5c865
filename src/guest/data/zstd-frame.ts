/**
 * Finds the end of a Zstandard frame (RFC 8878, section 3.1.1). QEMU stores the length of compressed data in
 * whole sectors. The rest of the last sector is not part of the frame.
 */
import { view } from '../../bytes/struct.ts';

const MAGIC = 0xfd2fb528;
const SHORTEST_BYTES = 6;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

/** Thrown for bytes that are not a complete frame. */
export class ZstdFrameError extends Error {}

/** @returns the length in bytes of the frame at the start of `bytes` */
export function zstdFrameLength(bytes: Uint8Array): number {
  const data = view(bytes);
  requireBytes(bytes, SHORTEST_BYTES);
  if (data.getUint32(0, true) !== MAGIC) throw new ZstdFrameError('this is not the start of a zstd frame');

  let at = frameHeaderBytes(bytes[4]!);
  for (let isLast = false; !isLast; ) {
    requireBytes(bytes, at + BLOCK_HEADER_BYTES);
    const block = data.getUint16(at, true) | (bytes[at + 2]! << 16);
    const type = (block >>> 1) & 3;
    if (type === RESERVED_BLOCK) throw new ZstdFrameError('a block has the reserved type');
    isLast = (block & 1) !== 0;
    at += BLOCK_HEADER_BYTES + (type === RLE_BLOCK ? 1 : block >>> 3);
  }
  const hasChecksum = (bytes[4]! & 0x04) !== 0;
  if (hasChecksum) at += CHECKSUM_BYTES;
  requireBytes(bytes, at);
  return at;
}

/** Length of the magic number, the descriptor and the fields that the descriptor announces. */
function frameHeaderBytes(descriptor: number): number {
  if ((descriptor & 0x08) !== 0) throw new ZstdFrameError('a reserved bit of the frame header is set');
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >>> 6;
  const windowBytes = isSingleSegment ? 0 : 1;
  const contentSizeBytes = sizeFlag === 0 ? 1 - windowBytes : 2 ** sizeFlag;
  return 5 + windowBytes + DICTIONARY_ID_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3] + contentSizeBytes;
}

function requireBytes(bytes: Uint8Array, count: number): void {
  if (bytes.length < count) throw new ZstdFrameError('the zstd frame is cut off');
}
