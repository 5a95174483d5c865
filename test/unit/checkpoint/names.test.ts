/** Names of bitmaps: QEMU's limits, libvirt's temporary names, and the reserved name. */
import { describe, expect, test } from 'vitest';
import { isCheckpointName, isTemporaryName, requireStorableName } from '../../../src/checkpoint/names.ts';
import { RefusedError, UsageError } from '../../../src/errors.ts';

describe('a checkpoint name', () => {
  test.each([
    'x',
    'checkpoint-2026-11-01',
    'with spaces, and=signs',
    'Prüfpunkt № 1',
    'n'.repeat(1023),
    '#allocated',
  ])('may be %j', (name) => {
    expect(requireStorableName(name)).toBeUndefined();
  });

  test('may have 1023 bytes in UTF-8, with any number of characters', () => {
    expect(requireStorableName('é'.repeat(511))).toBeUndefined();
    expect(() => requireStorableName('é'.repeat(512))).toThrow(
      'bitmap name of 1024 bytes: must have 1…1023 bytes',
    );
  });

  test.each([
    ['empty', '', 0],
    ['longer than 1023 bytes', 'n'.repeat(1024), 1024],
    ['one with a zero byte', 'a\0b', 3],
  ])('is not %s', (_, name, bytes) => {
    expect(() => requireStorableName(name)).toThrow(UsageError);
    expect(() => requireStorableName(name)).toThrow(`bitmap name of ${bytes} bytes`);
  });

  test('is not half of a character, which would be stored as another one', () => {
    for (const name of ['\ud800', 'a\udc00b']) expect(() => requireStorableName(name)).toThrow(UsageError);
    expect(() => requireStorableName('a\udc00b')).toThrow('name "a\\udc00b" is not well-formed Unicode');
    expect(requireStorableName('💾')).toBeUndefined();
  });

  test('cannot be #ALLOCATED, which always means the allocation of an image', () => {
    expect(() => requireStorableName('#ALLOCATED')).toThrow(RefusedError);
  });
});

describe('a temporary bitmap of libvirt', () => {
  test.each(['libvirt-tmp-size-vda', 'libvirt-migration-vda', 'backup-vda', 'backup-sdaa', 'backup-nvme0n1'])(
    'is %s',
    (name) => {
      expect(isTemporaryName(name)).toBe(true);
    },
  );

  test.each(['checkpoint-1', 'my-backup-1', 'libvirt', 'Backup-vda', ''])('is not %j', (name) => {
    expect(isTemporaryName(name)).toBe(false);
  });

  test.each([
    'backup-1',
    'backup-2026-11-01',
    'backup-monday',
    'backup-vda-1',
    'backup-vd',
    'backup-nvme0',
    'backup-',
  ])('is not %j: libvirt names it after the target of a disk', (name) => {
    expect(isTemporaryName(name)).toBe(false);
  });
});

test('a checkpoint and its bitmap may have a name of 1023 bytes', () => {
  expect([1023, 1024].map((length) => isCheckpointName('c'.repeat(length)))).toEqual([true, false]);
});
