/** The end of a zstd frame is found whatever follows it, and other data is refused. */
import { describe, expect, test } from 'vitest';
import { ZstdFrameError, zstdFrameLength } from '../../../../src/guest/data/zstd-frame.ts';

const magic = [0x28, 0xb5, 0x2f, 0xfd];
/** One last raw block of three bytes. */
const rawBlock = [0x19, 0, 0, 1, 2, 3];
/** One last block that repeats a byte 512 times. */
const repeatBlock = [0x03, 0x10, 0, 9];

describe('zstdFrameLength', () => {
  test.each([
    ['a single segment with one byte of size', [0x20, 3, ...rawBlock]],
    ['a window and no size', [0x00, 0x58, ...rawBlock]],
    ['two bytes of size', [0x60, 0, 1, ...repeatBlock]],
    ['a window and four bytes of size', [0x80, 0x58, 0, 2, 0, 0, ...repeatBlock]],
    ['eight bytes of size', [0xe0, 0, 2, 0, 0, 0, 0, 0, 0, ...repeatBlock]],
    ['a dictionary', [0x22, 7, 7, 3, ...rawBlock]],
    ['a checksum', [0x24, 3, ...rawBlock, 1, 2, 3, 4]],
    ['several blocks', [0x20, 6, 0x18, 0, 0, 1, 2, 3, ...rawBlock]],
  ])('finds the end of a frame with %s', (_, rest) => {
    const frame = Uint8Array.from([...magic, ...rest]);
    const stored = new Uint8Array(600).fill(0xee);
    stored.set(frame);
    expect(zstdFrameLength(stored)).toBe(frame.length);
    expect(zstdFrameLength(frame)).toBe(frame.length);
    for (let end = 0; end < frame.length; end++) {
      expect(() => zstdFrameLength(frame.subarray(0, end))).toThrow(ZstdFrameError);
    }
  });

  test.each([
    ['another magic', [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0, 0, 0]],
    ['a reserved bit', [...magic, 0x28, 3, ...rawBlock]],
    ['a reserved block type', [...magic, 0x20, 3, 0x1f, 0, 0, 1, 2, 3]],
  ])('refuses %s', (_, bytes) => {
    expect(() => zstdFrameLength(Uint8Array.from(bytes))).toThrow(ZstdFrameError);
  });
});
