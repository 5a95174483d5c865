/** The checker agrees with QEMU about every committed image. */
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { qemuInfo } from '../../../support/qemu.ts';
import { scratchFolder } from '../../../support/scratch.ts';
import { examine, examineOpenable, type StoredBitmap } from './examine.ts';

const images = fileURLToPath(new URL('../../../../fixtures/images', import.meta.url));

interface QemuCheck {
  corruptions?: number;
  leaks?: number;
}

interface DirtyExtent {
  offset: number;
  length: number;
  type: number;
}

function answer<T>(folder: string, file: string): Record<string, T> {
  return JSON.parse(readFileSync(join(images, folder, file), 'utf8'));
}

const cases = readdirSync(images)
  // The checker is for what may be written: version 3, and not marked corrupt.
  .filter((folder) => !folder.startsWith('v2') && folder !== 'marked-corrupt')
  .flatMap((folder) => {
    const bitmaps = answer<Record<string, DirtyExtent[]>>(folder, 'bitmaps.json');
    return Object.entries(answer<QemuCheck>(folder, 'check.json')).map(([file, check]) => ({
      image: `${folder}/${file}`,
      check,
      bitmaps: bitmaps[file] ?? {},
    }));
  });

function isMarked({ bits, granularity }: StoredBitmap, offset: number): boolean {
  const granule = Math.floor(offset / granularity);
  return ((bits![granule >> 3]! >> (granule & 7)) & 1) === 1;
}

describe('the checker of the power-cut tests agrees with QEMU', () => {
  it.each(cases)('$image', ({ image: path, check, bitmaps }) => {
    const image = examineOpenable(readFileSync(join(images, path)));
    expect(image.errors.length > 0, image.errors.join('\n')).toBe((check.corruptions ?? 0) > 0);
    if (image.errors.length === 0) expect(image.leaks).toHaveLength(check.leaks ?? 0);
    for (const [name, extents] of Object.entries(bitmaps)) {
      const bitmap = image.bitmaps.find((each) => each.name === name)!;
      for (const { offset, length, type } of extents) {
        for (let at = offset; at < offset + length; at += bitmap.granularity) {
          if (isMarked(bitmap, at) !== (type === 1)) throw new Error(`"${name}" is wrong at ${at}`);
        }
      }
    }
  });
});

describe('the checker refuses what QEMU refuses to open', () => {
  const path = join(images, 'bitmap-granularities', 'disk.qcow2');
  const directoryAt = (image: Buffer) => examineOpenable(image).header.bitmaps!.offset;
  const payloadAt = (image: Buffer) => image.indexOf(Buffer.from('2385287500000018', 'hex')) + 8;

  it.each<[string, (image: Buffer) => void]>([
    ['no bitmaps in the extension', (image) => image.writeUInt32BE(0, payloadAt(image))],
    ['another number of bitmaps', (image) => image.writeUInt32BE(11, payloadAt(image))],
    ['a reserved field', (image) => image.writeUInt32BE(1, payloadAt(image) + 4)],
    ['an extension of another length', (image) => image.writeUInt32BE(16, payloadAt(image) - 4)],
    ['a directory that is not aligned', (image) => image.writeUInt8(8, payloadAt(image) + 23)],
    [
      'a directory too long',
      (image) => image.writeUInt8(image[payloadAt(image) + 15]! + 8, payloadAt(image) + 15),
    ],
    ['a directory of zeros', (image) => image.fill(0, directoryAt(image))],
    ['a granularity of 2^32', (image) => image.writeUInt8(32, directoryAt(image) + 17)],
    ['a table of one entry too many', (image) => image.writeUInt32BE(9, directoryAt(image) + 8)],
    [
      'a table entry with reserved bits',
      (image) => image.writeUInt8(2, Number(image.readBigUInt64BE(directoryAt(image))) + 7),
    ],
  ])('%s', async (_, breakIt) => {
    const image = readFileSync(path);
    breakIt(image);
    expect(examine(image).opens).toBe(false);
    const broken = join(await scratchFolder(), 'broken.qcow2');
    await writeFile(broken, image);
    await expect(qemuInfo(broken)).rejects.toThrow('Could not open');
  });
});
