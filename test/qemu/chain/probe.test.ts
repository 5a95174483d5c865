/** Formats are recognized from the first bytes, as by QEMU. An unsupported format must not be read as raw. */
import { readFile } from 'node:fs/promises';
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
