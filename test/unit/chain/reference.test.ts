/** Names of images in QEMU's forms: local files, their resolution, and refused names. */
import { describe, expect, test } from 'vitest';
import { parseReference } from '../../../src/chain/reference.ts';
import { RefusedError } from '../../../src/errors.ts';

const json = (value: unknown) => `json:${JSON.stringify(value)}`;
const file = (filename: string) => ({ driver: 'file', filename });

describe('a path', () => {
  test.each<[string, string | undefined, string]>([
    ['disk.qcow2', undefined, 'disk.qcow2'],
    ['images/disk.qcow2', undefined, 'images/disk.qcow2'],
    ['/var/disk.qcow2', undefined, '/var/disk.qcow2'],
    ['./nbd:disk', undefined, './nbd:disk'],
    ['images/a:b.qcow2', undefined, 'images/a:b.qcow2'],
    ['base.qcow2', 'overlay.qcow2', 'base.qcow2'],
    ['base.qcow2', '/var/images/overlay.qcow2', '/var/images/base.qcow2'],
    ['../base.qcow2', '/var/images/overlay.qcow2', '/var/images/../base.qcow2'],
    ['sub/base.qcow2', 'images/overlay.qcow2', 'images/sub/base.qcow2'],
    ['./a:b.qcow2', 'images/overlay.qcow2', 'images/./a:b.qcow2'],
    ['base.qcow2', '/overlay.qcow2', '/base.qcow2'],
    ['/var/base.qcow2', '/images/overlay.qcow2', '/var/base.qcow2'],
    ['base with spaces.qcow2', '/v/o', '/v/base with spaces.qcow2'],
  ])('%s in %s resolves to %s', (name, namedBy, path) => {
    expect(parseReference(name, undefined, namedBy)).toEqual({ path, format: undefined });
    expect(parseReference(name, 'raw', namedBy)).toEqual({ path, format: 'raw' });
  });

  test.each(['file', 'host_device'])('is a raw file if its format is %s', (driver) => {
    expect(parseReference('disk', driver)).toEqual({ path: 'disk', format: 'raw' });
    expect(parseReference('file:disk', driver)).toEqual({ path: 'disk', format: 'raw' });
  });
});

describe('file:', () => {
  test.each([
    ['file:disk.qcow2', 'disk.qcow2'],
    ['file:/var/disk.qcow2', '/var/disk.qcow2'],
    ['file:///var/disk.qcow2', '/var/disk.qcow2'],
    ['file:a:b', 'a:b'],
    ['file:a%20b', 'a%20b'],
  ])('%s resolves to %s in any folder', (name, path) => {
    expect(parseReference(name, 'qcow2')).toEqual({ path, format: 'qcow2' });
    expect(parseReference(name, 'qcow2', '/var/images/overlay.qcow2')).toEqual({ path, format: 'qcow2' });
  });
});

describe('json:', () => {
  const qcow2 = { path: 'base.qcow2', format: 'qcow2' };
  test.each<[string, unknown, string | undefined, unknown]>([
    ['driver and file', { driver: 'qcow2', file: file('base.qcow2') }, undefined, qcow2],
    ['the stored format wins over the driver', { driver: 'raw', file: file('base.qcow2') }, 'qcow2', qcow2],
    ['without a driver the stored format counts', { file: file('base.qcow2') }, 'qcow2', qcow2],
    [
      'dotted names',
      { driver: 'qcow2', 'file.driver': 'file', 'file.filename': 'base.qcow2' },
      undefined,
      qcow2,
    ],
    [
      'both forms mixed',
      { driver: 'qcow2', file: { driver: 'file' }, 'file.filename': 'base.qcow2' },
      undefined,
      qcow2,
    ],
    ['a file alone is raw', file('base.raw'), undefined, { path: 'base.raw', format: 'raw' }],
    ['a file alone with its driver as format', file('base.raw'), 'file', { path: 'base.raw', format: 'raw' }],
    [
      'a block device',
      { driver: 'raw', file: { driver: 'host_device', filename: '/dev/vg/disk' } },
      undefined,
      { path: '/dev/vg/disk', format: 'raw' },
    ],
    [
      'options that change nothing',
      {
        driver: 'qcow2',
        'node-name': 'top',
        'read-only': true,
        discard: 'unmap',
        'l2-cache-size': 1048576,
        'cache.direct': true,
        'overlap-check.template': 'none',
        file: {
          ...file('base.qcow2'),
          aio: 'native',
          locking: 'auto',
          'auto-read-only': true,
          cache: { direct: true },
        },
      },
      undefined,
      qcow2,
    ],
    [
      'another backing image',
      { driver: 'qcow2', file: file('base.qcow2'), backing: { driver: 'raw', file: file('other.raw') } },
      undefined,
      { ...qcow2, backing: { path: 'other.raw', format: 'raw' } },
    ],
    [
      'another backing image in dotted names',
      {
        driver: 'qcow2',
        file: file('base.qcow2'),
        'backing.driver': 'raw',
        'backing.file.driver': 'file',
        'backing.file.filename': 'other.raw',
      },
      undefined,
      { ...qcow2, backing: { path: 'other.raw', format: 'raw' } },
    ],
    [
      'no backing image',
      { driver: 'qcow2', file: file('base.qcow2'), backing: null },
      undefined,
      { ...qcow2, backing: null },
    ],
    [
      'a chain of its own',
      {
        driver: 'qcow2',
        file: file('a'),
        backing: {
          driver: 'qcow2',
          file: file('b'),
          backing: { driver: 'qcow2', file: file('c'), backing: null },
        },
      },
      undefined,
      {
        path: 'a',
        format: 'qcow2',
        backing: { path: 'b', format: 'qcow2', backing: { path: 'c', format: 'qcow2', backing: null } },
      },
    ],
  ])('%s', (_, value, format, reference) => {
    expect(parseReference(json(value), format)).toEqual(reference);
    expect(parseReference(json(value), format, '/var/images/overlay.qcow2')).toEqual(reference);
  });

  test.each<[string, string, string]>([
    ['is not JSON', 'json:{', 'text that is not JSON'],
    ['is empty', 'json:', 'text that is not JSON'],
    ['is not an object', 'json:"base.qcow2"', 'JSON that is not an object'],
    ['is an array', 'json:[]', 'JSON that is not an object'],
    ['is null', 'json:null', 'JSON that is not an object'],
    ['names another format', json({ driver: 'vmdk', file: file('a') }), 'the driver "vmdk"'],
    ['names a driver over the network', json({ driver: 'nbd', host: 'example' }), 'the driver "nbd"'],
    [
      'names a network below qcow2',
      json({ driver: 'qcow2', file: { driver: 'https', url: 'https://example/' } }),
      'the driver "https"',
    ],
    ['names a filter', json({ driver: 'throttle', file: file('a') }), 'the driver "throttle"'],
    ['has no driver', json({ filename: 'a' }), 'no driver and no file'],
    [
      'has a file without a name',
      json({ driver: 'qcow2', file: { driver: 'file' } }),
      'driver "file" without a filename',
    ],
    [
      'has a name that is no text',
      json({ driver: 'qcow2', file: { driver: 'file', filename: 7 } }),
      'driver "file" without a filename',
    ],
    ['has an unknown option', json({ driver: 'raw', offset: 512, file: file('a') }), 'the option "offset"'],
    [
      'has an unknown option of the file',
      json({ driver: 'raw', file: { ...file('a'), magic: 1 } }),
      'the option "magic"',
    ],
    [
      'moves the data file',
      json({ driver: 'qcow2', file: file('a'), 'data-file': file('b') }),
      'the option "data-file"',
    ],
    [
      'names the backing image by node',
      json({ driver: 'qcow2', file: file('a'), backing: 'node' }),
      'a backing node given by name',
    ],
    ['has an object where a driver should be', json({ driver: { a: 1 }, file: file('a') }), 'the driver'],
  ])('is refused if it %s', (_, name, what) => {
    expect(() => parseReference(name, undefined)).toThrow(RefusedError);
    expect(() => parseReference(name, undefined)).toThrow(`unsupported image reference: ${what}`);
    expect(() => parseReference(name, undefined)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
  });

  test.each<[string, unknown, string, string]>([
    ['a format over a file node', file('a'), 'qcow2', 'the format "qcow2" for a file node'],
    ['a file driver over a format node', { driver: 'qcow2', file: file('a') }, 'file', 'the driver "file"'],
  ])('is refused with %s, as by QEMU', (_, value, format, what) => {
    expect(() => parseReference(json(value), format)).toThrow(`unsupported image reference: ${what}`);
  });

  test('does not read a qcow2 image below the raw driver as a raw file', () => {
    const name = json({ driver: 'raw', file: { driver: 'qcow2', file: file('base.qcow2') } });
    expect(() => parseReference(name, undefined)).toThrow(RefusedError);
  });

  test('is refused with a key "__proto__"', () => {
    const name = 'json:{"driver":"qcow2","__proto__":{"file":{"driver":"file","filename":"a"}}}';
    expect(() => parseReference(name, undefined)).toThrow(RefusedError);
  });
});

describe('a protocol is refused, with advice for such a file name:', () => {
  test.each([
    'nbd://example/disk',
    'nbd:unix:/run/nbd.sock',
    'https://example/disk.qcow2',
    'rbd:pool/disk',
    'fat:/tmp',
    'a:b',
  ])('%s', (name) => {
    const protocol = name.split(':')[0];
    for (const namedBy of [undefined, '/var/overlay.qcow2']) {
      expect(() => parseReference(name, 'raw', namedBy)).toThrow(
        expect.objectContaining({
          code: 'UNSUPPORTED',
          message: `${name}: unsupported image reference: the protocol "${protocol}"`,
          remedy: { kind: 'write-as-path', path: `./${name}` },
        }),
      );
    }
  });
});
