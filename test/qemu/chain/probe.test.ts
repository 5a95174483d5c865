/** Formats are recognized from the first bytes, as by QEMU. An unsupported format must not be read as raw. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { probeFormat } from '../../../src/chain/probe.ts';
import { qemuImg, qemuInfo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const start = async (path: string) => {
  const bytes = new Uint8Array(512);
  bytes.set((await readFile(path)).subarray(0, 512));
  return bytes;
};

describe('probing', () => {
  test.each([
    ['qcow2', []],
    ['qcow2', ['-o', 'compat=0.10']],
    ['qcow', []],
    ['qed', []],
    ['vmdk', []],
    ['vmdk', ['-o', 'subformat=monolithicFlat']],
    ['vmdk', ['-o', 'subformat=streamOptimized']],
    ['vhdx', []],
    ['vpc', []],
    ['vdi', []],
    ['parallels', []],
    ['raw', []],
  ] as const)('recognizes %s %j that QEMU made, as QEMU does', async (format, options) => {
    const path = join(await scratchFolder(), 'disk');
    await qemuImg('create', '-q', '-f', format, ...options, path, '4M');
    expect(await qemuInfo(path)).toMatchObject({ format });
    expect(probeFormat(await start(path))).toBe(format);
  });

  test.each([
    ['# another first line\nversion=1\nCID=0\n', 'vmdk'],
    ['   \r\n# text\r\nversion=3\r\n', 'vmdk'],
    ['version=2\n', 'vmdk'],
    ['\nversion=1\n', 'raw'],
    ['version=4\n', 'raw'],
    ['# Disk DescriptorFile\nCID=0\n', 'raw'],
    [`#${'-'.repeat(512)}\nversion=1\n`, 'raw'],
    ['#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n', 'cloop'],
    [
      `Bochs Virtual HD Image${'\0'.repeat(10)}Redolog${'\0'.repeat(9)}Growing${'\0'.repeat(9)}\0\0\x02\0`,
      'bochs',
    ],
  ])('recognizes the text %j as QEMU does', async (text, format) => {
    const path = join(await scratchFolder(), 'disk');
    const bytes = Buffer.alloc(65536);
    bytes.write(text);
    await writeFile(path, bytes);
    expect(probeFormat(await start(path))).toBe(format);
    // QEMU recognizes the other formats, and then refuses the rest of the image.
    const isRaw = await qemuInfo(path).then(
      (info) => info.format === 'raw',
      () => false,
    );
    expect(isRaw).toBe(format === 'raw');
  });

  test('recognizes anything else as raw', () => {
    expect(probeFormat(new Uint8Array(512))).toBe('raw');
    expect(probeFormat(new Uint8Array(512).fill(0xff))).toBe('raw');
    expect(probeFormat(Uint8Array.from({ length: 512 }, (_, index) => index & 0xff))).toBe('raw');
  });

  test('recognizes a LUKS container', () => {
    const bytes = new Uint8Array(512);
    bytes.set([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe, 0, 1]);
    expect(probeFormat(bytes)).toBe('luks');
  });
});
