/** An image with two bitmaps to damage, and the expected state after its repair. */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type ProblemCode, repairDirectory } from '../../../src/index.ts';
import { compareImages, qemuBitmaps, qemuCheck, qemuImg, qemuIo, qemuMap } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { EditedImage } from '../../unit/image/edited-image.ts';
import { inspectFile } from '../../unit/inspection/inspect.ts';

export const clean = { errors: 0, corruptions: 0, leaks: 0 };

export interface Sample {
  path: string;
  /** The same disk, never changed. */
  copy: string;
  image: EditedImage;
  /** Stores what was edited. */
  save(): Promise<void>;
}

/** Two bitmaps with a data cluster each; the file ends with free space. */
export async function sample(...options: string[]): Promise<Sample> {
  const folder = await scratchFolder();
  const path = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', ['cluster_size=65536', ...options].join(), path, '1M');
  await qemuIo(path, 'write -P 1 0 64k');
  for (const name of ['first', 'second']) await qemuImg('bitmap', '--add', '-g', '512', path, name);
  await qemuIo(path, 'write -P 2 128k 4k', 'write -P 3 700k 5000');
  const copy = join(folder, 'copy.qcow2');
  await copyFile(path, copy);
  const bytes = await readFile(path);
  const room = Buffer.alloc(8 * 65536 - (bytes.length % 65536));
  const image = new EditedImage(Buffer.concat([bytes, room]));
  return { path, copy, image, save: () => writeFile(path, image.bytes) };
}

const u64 = (image: EditedImage, at: number) =>
  Number(image.bytes.readBigUInt64BE(at) & 0x00ff_ffff_ffff_fe00n);
export const dataOf = (image: EditedImage, index: number) => u64(image, image.entries()[index]!.tableOffset);
export const l1Table = (image: EditedImage) => u64(image, 40);
export const l2Table = (image: EditedImage) => u64(image, l1Table(image));
export const refcountBlock = (image: EditedImage) => u64(image, u64(image, 48));
export const guestData = async (path: string) =>
  (await qemuMap(path)).flatMap(({ offset }) => offset ?? [])[0]!;

export async function codesOf(path: string): Promise<[ProblemCode, string | undefined][]> {
  return (await inspectFile(path)).problems.map(({ code, bitmap }) => [code, bitmap]);
}

/** What is left, each with whether it is in use. */
export async function bitmapsLeft(path: string): Promise<[string, boolean][]> {
  return (await qemuBitmaps(path)).map(({ name, flags }) => [name, flags.includes('in-use')]);
}

export async function expectMended({ path, copy }: Sample, left: [string, boolean][]): Promise<void> {
  await repairDirectory(path);
  expect(await qemuCheck(path)).toMatchObject(clean);
  expect(await compareImages(path, copy)).toMatchObject({ identical: true });
  expect(await bitmapsLeft(path)).toEqual(left);
  expect((await inspectFile(path)).problems.filter(({ code }) => code !== 'in-use')).toEqual([]);
}
