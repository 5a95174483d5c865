/** Makes images with bytes that no correct tool writes. */
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { qemuImg, qemuIo } from '../../support/qemu.ts';

/** A version 3 image of 1 MiB with its first half written; its L1 table is at 0x30000, its L2 table at 0x40000. */
export async function plainImage(folder: string, ...options: string[]): Promise<string> {
  const path = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', ...options, path, '1M');
  await qemuIo(path, 'write -P 7 0 512k');
  return path;
}

export async function patch(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(bytes, 0, bytes.length, offset);
  } finally {
    await file.close();
  }
}

export function u64(...values: (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => {
    bytes.writeBigUInt64BE(BigInt(value), index * 8);
  });
  return bytes;
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value, index * 4);
  });
  return bytes;
}

const EXTENSION_BITMAPS = 0x23852875;

/** Where the bitmap directory is. */
export async function directoryAt(path: string): Promise<number> {
  const bytes = await readFile(path);
  for (let at = bytes.readUInt32BE(100); bytes.readUInt32BE(at) !== 0; ) {
    if (bytes.readUInt32BE(at) === EXTENSION_BITMAPS) return Number(bytes.readBigUInt64BE(at + 24));
    at += 8 + Math.ceil(bytes.readUInt32BE(at + 4) / 8) * 8;
  }
  throw new Error(`${path} has no bitmaps`);
}

/**
 * A chain of small images in a folder, `layer-00000.qcow2` on top; each names the next as its backing file.
 *
 * qemu-img makes one of them, the others are copies with another name in them: thousands take no time so.
 */
export async function longChain(folder: string, depth: number): Promise<string> {
  const name = (index: number) => `layer-${String(index).padStart(5, '0')}.qcow2`;
  const path = (index: number) => join(folder, name(index));
  const cluster = ['-o', 'cluster_size=512'];
  await qemuImg('create', '-q', '-f', 'qcow2', ...cluster, path(depth - 1), '64k');
  await qemuImg(
    'create',
    '-q',
    '-u',
    '-f',
    'qcow2',
    ...cluster,
    '-F',
    'qcow2',
    '-b',
    name(1),
    path(0),
    '64k',
  );
  const template = await readFile(path(0));
  const at = template.indexOf(name(1));
  for (let index = 1; index < depth - 1; index++) {
    template.write(name(index + 1), at, 'latin1');
    await writeFile(path(index), template);
  }
  return path(0);
}
