/** The bitmaps extension: what QEMU accepts, and how extensions are found after a wrong length. */
import { describe, expect, test } from 'vitest';
import { hostOffset } from '../../../src/format/addresses.ts';
import {
  bitmapsState,
  encodeBitmapsPayload,
  parseExtensionsLeniently,
} from '../../../src/format/bitmaps-extension.ts';
import { parseHeaderExtensions } from '../../../src/format/header-extensions.ts';
import { parsedHeader, storedHeader } from './stored-header.ts';

const BITMAPS = 0x23852875;
const FORMAT = 0xe2792aca;
const UNKNOWN = 0x12345678;

interface Payload {
  count?: number;
  reserved?: number;
  size?: bigint;
  offset?: bigint;
}

function payload({ count = 1, reserved = 0, size = 64n, offset = 0x50000n }: Payload = {}): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32BE(count, 0);
  bytes.writeUInt32BE(reserved, 4);
  bytes.writeBigUInt64BE(size, 8);
  bytes.writeBigUInt64BE(offset, 16);
  return bytes;
}

/** A header with these extensions in sequence, each with the given length in its frame. */
function headerWith(...frames: [type: number, data: Uint8Array, length?: number][]): Buffer {
  const bytes = Buffer.from(storedHeader({ autoclear_features: 1n }));
  let at = 104;
  for (const [type, data, length] of frames) {
    bytes.writeUInt32BE(type, at);
    bytes.writeUInt32BE(length ?? data.length, at + 4);
    bytes.set(data, at + 8);
    at += 8 + Math.ceil(data.length / 8) * 8;
  }
  return bytes;
}

const header = parsedHeader({ autoclear_features: 1n });

describe('a bitmaps extension', () => {
  const state = (fields: Payload) =>
    bitmapsState(parseHeaderExtensions(headerWith([BITMAPS, payload(fields)]), header), header);

  test('may have the most bitmaps and the largest directory that QEMU allows', () => {
    expect(state({ count: 65535, size: 67_107_840n, offset: 0x1f_ffff_ffff_0000n })).toMatchObject({
      kind: 'live',
      directory: { bitmapCount: 65535, sizeBytes: 67_107_840, offset: 0x1f_ffff_ffff_0000 },
    });
  });

  test.each<[string, Payload, string]>([
    ['no bitmap', { count: 0 }, 'extension-count'],
    ['a bitmap too many', { count: 65536 }, 'extension-count'],
    ['an empty directory', { size: 0n }, 'directory-size'],
    ['a directory of a byte too many', { size: 67_107_841n }, 'directory-size'],
    ['no offset', { offset: 0n }, 'directory-offset'],
    ['an offset beyond 2^53', { offset: 1n << 53n }, 'directory-offset'],
    ['an offset inside a cluster', { offset: 0x50200n }, 'directory-offset'],
    ['a reserved field that is not 0', { reserved: 1 }, 'extension-reserved'],
  ])('is broken with %s', (_, fields, rule) => {
    expect(state(fields)).toMatchObject({ kind: 'broken', violations: [{ rule }] });
  });
});

test('an extension is stale if autoclear bit 0 is clear, and does not count if it is all zeros', () => {
  const cleared = parsedHeader();
  const stateOf = (data: Uint8Array) =>
    bitmapsState(parseHeaderExtensions(headerWith([BITMAPS, data]), cleared), cleared);
  expect(stateOf(payload())).toMatchObject({ kind: 'stale', directory: { bitmapCount: 1, offset: 0x50000 } });
  expect(stateOf(Buffer.alloc(24))).toEqual({ kind: 'none' });
  const last = Buffer.alloc(24);
  last[23] = 1;
  expect(stateOf(last)).toMatchObject({ kind: 'stale', directory: { bitmapCount: undefined } });
});

describe('extensions after a bitmaps extension of a wrong length', () => {
  const lenient = (...frames: Parameters<typeof headerWith>) =>
    parseExtensionsLeniently(headerWith(...frames), header).list.map(
      ({ type, offset, storedLengthBytes }) => [type, offset, storedLengthBytes],
    );
  const format = Buffer.from('qcow2');

  test.each([0, 16, 23, 25, 0xffffffff])('are found as if %i was 24', (length) => {
    expect(lenient([FORMAT, format], [BITMAPS, payload(), length], [UNKNOWN, format])).toEqual([
      [FORMAT, 104, 5],
      [BITMAPS, 120, length],
      [UNKNOWN, 152, 5],
    ]);
  });

  test('are refused if only the stored length leads to a known extension', () => {
    // With 24 bytes it would be part of the payload, and the end marker would follow.
    expect(() =>
      lenient([UNKNOWN, format], [BITMAPS, payload().subarray(0, 16), 16], [FORMAT, Buffer.alloc(0)]),
    ).toThrow(
      expect.objectContaining({
        message:
          'bitmaps extension at 0x78: length is 16, must be 24, and only with that length another extension is found at 0x90',
        remedy: expect.toSatisfy((remedy) => remedy('x').kind === 'correct-extension-length'),
      }),
    );
  });

  test('are found if the stored length leads only to an unknown extension', () => {
    const data = Buffer.concat([payload().subarray(0, 16), Buffer.alloc(8)]);
    data.writeUInt32BE(UNKNOWN, 16);
    expect(lenient([BITMAPS, data, 16], [FORMAT, format])).toEqual([
      [BITMAPS, 104, 16],
      [FORMAT, 136, 5],
    ]);
  });

  test('are found after an extension of the correct length', () => {
    expect(lenient([BITMAPS, payload()], [FORMAT, format])).toEqual([
      [BITMAPS, 104, 24],
      [FORMAT, 136, 5],
    ]);
  });
});

test('the payload of the extension consists of count, reserved field, size and offset', () => {
  const payload = encodeBitmapsPayload({ bitmapCount: 3, offset: hostOffset(0x50000), sizeBytes: 96 });
  expect(Buffer.from(payload).toString('hex')).toBe(
    '0000000300000000' + '0000000000000060' + '0000000000050000',
  );
});
