/** The allocation of a layer at every granularity, compared with its L2 tables entry by entry and with QEMU's map. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { layerBitmap } from '../../../../src/guest/allocation/layer-bitmap.ts';
import { type Image, openImage, readActiveTables } from '../../../../src/image/image.ts';
import { normalised, roundedOut } from '../../../support/extents.ts';
import { extentsOf } from '../../../support/flat-bits.ts';
import { ownAllocation } from '../../../support/map-answers.ts';
import { memoryStorage } from '../../../support/memory.ts';
import { qemuImg, qemuIo, qemuMap } from '../../../support/qemu.ts';
import { scratchFolder } from '../../../support/scratch.ts';

async function opened(path: string): Promise<Image> {
  return openImage(memoryStorage(await readFile(path), { name: path }));
}

async function marked(image: Image, virtualSizeBytes: number, granularityBits: number) {
  const form = { content: 'allocated', virtualSizeBytes, granularityBits } as const;
  const { bitmap } = await layerBitmap(await readActiveTables(image), form, {});
  return normalised(extentsOf(bitmap).map(({ offset, length }) => ({ start: offset, length })));
}

const layouts = [
  { clusterSize: 512, options: [] },
  { clusterSize: 4096, options: [] },
  { clusterSize: 65536, options: [] },
  { clusterSize: 2097152, options: [] },
  { clusterSize: 16384, options: ['-o', 'extended_l2=on'] },
  { clusterSize: 65536, options: ['-o', 'extended_l2=on'] },
  { clusterSize: 4096, options: ['-o', 'compat=0.10'] },
];

describe.each(layouts)('clusters of $clusterSize bytes, $options', ({ clusterSize, options }) => {
  test('every granularity marks exactly the granules of which the image holds a part', async () => {
    const path = join(await scratchFolder(), 'disk.qcow2');
    const size = 9 * 2 ** 20 + 512;
    await qemuImg(
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      `cluster_size=${clusterSize}`,
      ...options,
      path,
      String(size),
    );
    await qemuIo(
      path,
      'write -q -P 1 0 512',
      `write -q -P 2 ${3 * 2 ** 20 - 1024} 2048`,
      'write -q -P 3 5000k 40k',
      `write -q -z ${7 * 2 ** 20} 64k`,
      `write -q -P 4 ${size - 512} 512`,
    );
    const held = ownAllocation(await qemuMap(path));
    const image = await opened(path);
    for (let bits = 9; bits <= 31; bits++) {
      expect(await marked(image, size, bits), `2^${bits}`).toEqual(roundedOut(held, 2 ** bits, size));
    }
  });
});

describe('a bitmap for a disk of another size than the layer', () => {
  test('marks nothing beyond the end of the disk or of the layer', async () => {
    const path = join(await scratchFolder(), 'disk.qcow2');
    const own = 300_032;
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=64k', path, String(own));
    await qemuIo(path, 'write -q -P 1 0 300032');
    const image = await opened(path);
    for (const bits of [9, 12, 16, 20]) {
      for (const size of [512, 65_536, 100_352, own, 327_680, 1_000_448]) {
        const held = [{ start: 0, length: Math.min(own, size) }];
        expect(await marked(image, size, bits), `${size} at 2^${bits}`).toEqual(
          roundedOut(held, 2 ** bits, size),
        );
      }
    }
  });
});
