/**
 * Bitmap structures with random damage. The repair refuses and writes nothing, or QEMU opens the image without errors, with
 * the same disk and the same undamaged bitmaps.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RefusedError, repairDirectory } from '../../../src/index.ts';
import { compareImages, qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { type DirtyExtent, dirtyExtents } from '../../support/qemu-bitmap.ts';
import { type Random, randomCases, seededRandom } from '../../support/random.ts';
import { makeTemporaryFolder } from '../../support/scratch.ts';
import { EditedImage, rawEntry } from '../../unit/image/edited-image.ts';

const clusterSize = 4096;
const names = ['first', 'second', 'third'];

async function build(path: string): Promise<EditedImage> {
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', `cluster_size=${clusterSize}`, path, '8M');
  await qemuIo(path, 'write -P 1 0 64k');
  for (const [index, name] of names.entries()) {
    await qemuImg('bitmap', '--add', '-g', String(512 << index), path, name);
    await qemuIo(path, `write -P ${index + 2} ${index}M 100k`);
  }
  return new EditedImage(await readFile(path));
}

/** What describes bitmaps: extension, directory and tables, of which the extension and the directory are hit most. */
function damage(image: EditedImage, random: Random): void {
  const tables = image.entries().map(({ tableOffset, tableSize }) => [tableOffset, tableSize * 8] as const);
  const extension = [image.extensionAt(), 32] as const;
  const directory = [image.directoryOffset, image.directorySize] as const;
  const parts = [extension, extension, directory, directory, directory, ...tables];
  for (let left = random.between(1, 4); left > 0; left--) {
    const [offset, length] = random.pick(parts);
    const at = offset + random.below(length);
    const [value, bit] = [random.below(256), 1 << random.below(8)];
    image.bytes[at] = random.chance(0.5) ? value : image.bytes[at]! ^ bit;
  }
}

let folder: string;
let intact: EditedImage;
const extents = new Map<string, DirtyExtent[]>();

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  intact = await build(join(folder, 'intact.qcow2'));
  for (const name of names) extents.set(name, await dirtyExtents(join(folder, 'intact.qcow2'), name));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Bitmaps with an undamaged entry and table. */
function untouched(damaged: EditedImage): string[] {
  const isSame = (offset: number, length: number) =>
    Buffer.compare(
      damaged.bytes.subarray(offset, offset + length),
      intact.bytes.subarray(offset, offset + length),
    ) === 0;
  let at = intact.directoryOffset;
  return intact.entries().flatMap((entry) => {
    const { length } = rawEntry(entry);
    const isWhole = isSame(at, length) && isSame(entry.tableOffset, entry.tableSize * 8);
    at += length;
    return isWhole ? [Buffer.from(entry.name).toString()] : [];
  });
}

test.each(randomCases(40))('random damage is repaired or refused: $again', async ({ seed }) => {
  const random = seededRandom(seed);
  const damaged = new EditedImage(Buffer.from(intact.bytes));
  damage(damaged, random);
  const path = join(folder, `damaged-${seed}.qcow2`);
  await writeFile(path, damaged.bytes);
  try {
    await repairDirectory(path);
  } catch (error) {
    expect(error).toBeInstanceOf(RefusedError);
    expect(Buffer.compare(await readFile(path), damaged.bytes), 'nothing is written').toBe(0);
    return;
  }
  expect(await qemuCheck(path)).toMatchObject({ errors: 0, corruptions: 0, leaks: 0 });
  expect(await compareImages(path, join(folder, 'intact.qcow2'))).toMatchObject({ identical: true });
  const left = await qemuBitmaps(path);
  for (const name of untouched(damaged)) {
    const info = left.find((bitmap) => bitmap.name === name);
    if (info === undefined || info.flags.includes('in-use')) continue;
    expect(await dirtyExtents(path, name), name).toEqual(extents.get(name));
  }
  await expect(repairDirectory(path)).resolves.toMatchObject({ wasUnopenable: false, plan: null });
});
