/** Disks that are written and marked in units of 64 KiB, and the restore that judges a bitmap. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { qemuImg, qemuIo } from './qemu.ts';
import { dirtyExtents } from './qemu-bitmap.ts';
import { scratchFolder } from './scratch.ts';

export const UNIT = 64 << 10;

/** Creates an image with a disk of 8 MiB. */
export async function createDisk(path: string, backing?: string, ...options: string[]): Promise<string> {
  const over = backing === undefined ? [] : ['-b', backing, '-F', 'qcow2'];
  const size = backing === undefined ? ['8M'] : [];
  await qemuImg('create', '-q', '-f', 'qcow2', ...options, ...over, path, ...size);
  return path;
}

export async function writeUnits(path: string, pattern: number, ...units: number[]): Promise<void> {
  await qemuIo(path, ...units.map((unit) => `write -q -P ${pattern} ${unit * 64}k 64k`));
}

/** The units that the bitmaps of that name mark together. */
export async function markedUnits(name: string, ...images: string[]): Promise<number[]> {
  const units = new Set<number>();
  for (const path of images) {
    for (const { offset, length, type } of await dirtyExtents(path, name)) {
      if (type === 1)
        for (let place = offset; place < offset + length; place += UNIT) units.add(place / UNIT);
    }
  }
  return [...units].sort((a, b) => a - b);
}

/** Whether a backup is equal to the disk after the marked units of the disk are copied over it. */
export async function restores(
  backup: string,
  disk: string,
  name: string,
  ...images: string[]
): Promise<boolean> {
  const folder = await scratchFolder();
  const contentOf = async (path: string) => {
    const raw = join(folder, 'disk.raw');
    await qemuImg('convert', '-O', 'raw', path, raw);
    return readFile(raw);
  };
  const [restored, now] = [await contentOf(backup), await contentOf(disk)];
  for (const unit of await markedUnits(name, ...images))
    now.copy(restored, unit * UNIT, unit * UNIT, (unit + 1) * UNIT);
  return restored.equals(now);
}
