/** Builds small qcow2 images with QEMU's tools. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { qemuImg, qemuIo } from '../../../support/qemu.ts';

export interface Recipe {
  size?: string;
  clusterSize?: number | string;
  refcountBits?: number;
  options?: string[];
  /** The backing file's name as it is to be stored; it is made as `base.qcow2`, in the image's folder. */
  backing?: string;
  /** Commands of qemu-io before any bitmap exists. */
  io?: string[];
  /** Bitmaps that QEMU adds: name and granularity. */
  bitmaps?: readonly (readonly [name: string, granularity: number])[];
  /** Commands of qemu-io afterwards, which mark the bitmaps. */
  dirty?: string[];
  /** Those of the bitmaps that record no more after that. */
  disabled?: string[];
  /** Changes bytes that QEMU's tools do not change. */
  edit?: (image: Buffer) => void;
}

export async function buildImage(folder: string, recipe: Recipe): Promise<string> {
  const { size = '1M', clusterSize = '64k', refcountBits = 16, options = [], backing } = recipe;
  const path = join(folder, 'image.qcow2');
  if (backing !== undefined) await makeBase(folder, size);
  const all = [`cluster_size=${clusterSize}`, `refcount_bits=${refcountBits}`, ...options].join(',');
  const below = backing === undefined ? [] : ['-b', backing, '-F', 'qcow2'];
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', all, ...below, path, size);
  if (recipe.io !== undefined) await qemuIo(path, ...recipe.io);
  for (const [name, granularity] of recipe.bitmaps ?? []) {
    await qemuImg('bitmap', '--add', '-g', String(granularity), path, name);
  }
  if (recipe.dirty !== undefined) await qemuIo(path, ...recipe.dirty);
  for (const name of recipe.disabled ?? []) await qemuImg('bitmap', '--disable', path, name);
  if (recipe.edit !== undefined) {
    const bytes = await readFile(path);
    recipe.edit(bytes);
    await writeFile(path, bytes);
  }
  return path;
}

async function makeBase(folder: string, size: string): Promise<void> {
  const path = join(folder, 'base.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', path, size);
  await qemuIo(path, 'write -P 9 0 64k');
}
