/** Header extensions: their frames, the area they may fill, and those with a fixed form. */
import { describe, expect, test } from 'vitest';
import { KNOWN_AUTOCLEAR, refuseUnknownIncompatible } from '../../../src/format/features.ts';
import {
  backingFormat,
  encryptionHeader,
  extensionAreaEnd,
  findExtension,
  type HeaderExtensions,
  parseHeaderExtensions,
} from '../../../src/format/header-extensions.ts';
import { type HeaderFields, parsedHeader, storedHeader } from './stored-header.ts';

type Frame = readonly [type: number, data: string | Uint8Array, length?: number];

function parse(frames: readonly Frame[], changes: HeaderFields = {}): HeaderExtensions {
  const bytes = Buffer.from(storedHeader(changes));
  let at = 104;
  for (const [type, content, length] of frames) {
    const data = Buffer.from(content);
    bytes.writeUInt32BE(type, at);
    bytes.writeUInt32BE(length ?? data.length, at + 4);
    bytes.set(data, at + 8);
    at += 8 + Math.ceil(data.length / 8) * 8;
  }
  return parseHeaderExtensions(bytes, parsedHeader(changes));
}

const FORMAT = 0xe2792aca;
const ENCRYPTION = 0x0537be77;

describe('header extensions', () => {
  test('are stored one after the other, each padded to 8 bytes, up to the end marker', () => {
    const extensions = parse([
      [FORMAT, 'qcow2'],
      [0x12345678, 'unknown and kept'],
      [0x9abcdef0, ''],
    ]);
    expect(
      extensions.list.map(({ type, offset, data }) => [type, offset, Buffer.from(data).toString()]),
    ).toEqual([
      [FORMAT, 104, 'qcow2'],
      [0x12345678, 120, 'unknown and kept'],
      [0x9abcdef0, 144, ''],
    ]);
    expect(extensions.endMarkerOffset).toBe(152);
  });

  test('end at the backing file name if there is no end marker', () => {
    const extensions = parse([[FORMAT, 'raw']], { backing_file_offset: 120, backing_file_size: 4 });
    expect(extensions.list).toHaveLength(1);
    expect(extensions.endMarkerOffset).toBeUndefined();
    expect(extensionAreaEnd(parsedHeader({ backing_file_offset: 120, backing_file_size: 4 }))).toBe(120);
    expect(extensionAreaEnd(parsedHeader())).toBe(65536);
  });

  test('begin after a header that is longer than the known one', () => {
    const bytes = Buffer.from(storedHeader({ header_length: 128 }));
    bytes.fill(0xee, 105, 128);
    bytes.writeUInt32BE(FORMAT, 128);
    bytes.writeUInt32BE(3, 132);
    bytes.write('raw', 136);
    const extensions = parseHeaderExtensions(bytes, parsedHeader({ header_length: 128 }));
    expect(backingFormat(extensions)).toBe('raw');
  });

  test('are refused if a frame does not fit before the backing file name', () => {
    expect(() => parse([[FORMAT, 'raw']], { backing_file_offset: 124, backing_file_size: 4 })).toThrow(
      'header extension at 0x78: does not fit before 0x7c',
    );
  });

  test('are refused if one is longer than its area', () => {
    expect(() => parse([[0x12345678, '', 65536 - 112 + 1]])).toThrow(
      'header extension 0x12345678 at 0x68: length is 65425, must be at most 65424',
    );
    expect(() => parse([[0x12345678, '', 0xffffffff]])).toThrow(
      'length is 4294967295, must be at most 65424',
    );
    expect(() => parse([[FORMAT, 'qcow2']], { backing_file_offset: 116, backing_file_size: 4 })).toThrow(
      'length is 5, must be at most 4',
    );
  });

  test('that occur twice count by the later one', () => {
    const extensions = parse([
      [FORMAT, 'raw'],
      [FORMAT, 'qcow2'],
    ]);
    expect(backingFormat(extensions)).toBe('qcow2');
    expect(findExtension(extensions, FORMAT)?.offset).toBe(120);
  });

  test('may lack a backing format', () => {
    expect(backingFormat(parse([]))).toBeUndefined();
  });

  test('are refused with a backing format of 16 bytes', () => {
    expect(backingFormat(parse([[FORMAT, 'f'.repeat(15)]]))).toBe('f'.repeat(15));
    expect(() => backingFormat(parse([[FORMAT, 'f'.repeat(16)]]))).toThrow(
      'backing format extension at 0x68: length is 16, must be at most 15',
    );
  });
});

describe('the encryption header extension', () => {
  const at = (offset: bigint, length: bigint) => {
    const bytes = Buffer.alloc(16);
    bytes.writeBigUInt64BE(offset, 0);
    bytes.writeBigUInt64BE(length, 8);
    return bytes;
  };
  const read = (data: Uint8Array, crypt_method = 2) =>
    encryptionHeader(parse([[ENCRYPTION, data]], { crypt_method }), parsedHeader({ crypt_method }));

  test('gives the position of the LUKS header', () => {
    expect(read(at(0x40000n, 2_068_480n))).toEqual({ offset: 0x40000, length: 2_068_480 });
    expect(encryptionHeader(parse([]), parsedHeader())).toBeUndefined();
  });

  test('is refused in an image that is not encrypted with LUKS', () => {
    expect(() => read(at(0x40000n, 512n), 1)).toThrow('crypt_method is aes, must be LUKS');
  });

  test('is refused with a length other than 16', () => {
    expect(() => read(Buffer.alloc(24))).toThrow(
      'encryption header extension at 0x68: length is 24, must be 16',
    );
  });

  test('is refused with an unaligned offset', () => {
    expect(() => read(at(0x40200n, 512n))).toThrow(
      'offset is 0x40200, must be a multiple of the cluster size',
    );
  });

  test('is refused with an offset or a length beyond 2^53', () => {
    expect(() => read(at(1n << 53n, 512n))).toThrow(
      'encryption header extension at 0x68: offset is 0x20000000000000, beyond 2^53',
    );
    expect(() => read(at(0x40000n, 1n << 53n))).toThrow(
      'encryption header extension at 0x68: length is 0x20000000000000, beyond 2^53',
    );
  });
});

describe('incompatible features', () => {
  /** One entry of the feature name table: type, bit, 46 bytes of name. */
  const named = (type: number, bit: number, name: string) => {
    const bytes = Buffer.alloc(48);
    bytes[0] = type;
    bytes[1] = bit;
    bytes.write(name, 2);
    return bytes;
  };

  test('are accepted if they are known', () => {
    expect(refuseUnknownIncompatible(0b11111n, new Uint8Array(0))).toBeUndefined();
  });

  test('are refused with the names that the image gives, if they are unknown', () => {
    const table = Buffer.concat([
      named(1, 5, 'a compatible feature'),
      named(0, 63, 'time travel'),
      named(0, 7, 'n'.repeat(46)),
      Buffer.alloc(20, 0xee),
    ]);
    expect(() => refuseUnknownIncompatible((1n << 63n) | (1n << 5n) | (1n << 7n) | 1n, table)).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: `header: unknown incompatible features: bit 5, "${'n'.repeat(46)}" (bit 7), "time travel" (bit 63)`,
        remedy: expect.toSatisfy((remedy) => remedy('x').kind === 'use-original-software'),
      }),
    );
  });

  test('can have a name in the last entry of the table, but not in a truncated entry', () => {
    const whole = named(0, 5, 'the last');
    expect(() => refuseUnknownIncompatible(1n << 5n, whole)).toThrow('features: "the last" (bit 5)');
    expect(() => refuseUnknownIncompatible(1n << 5n, whole.subarray(0, 47))).toThrow('features: bit 5');
    const cutOff = Buffer.concat([named(0, 7, 'whole'), named(0, 5, 'cut').subarray(0, 20)]);
    expect(() => refuseUnknownIncompatible(1n << 5n, cutOff)).toThrow('features: bit 5');
  });
});

test('the known autoclear bits, which a write keeps, are 0 (bitmaps) and 1 (raw external data)', () => {
  expect(KNOWN_AUTOCLEAR).toBe(0b11n);
});
