/** Chains of images with checkpoint bitmaps, and the XML of checkpoints. */
import { join } from 'node:path';
import { expect } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { compareImages, qemuImg } from '../../support/qemu.ts';

/** Creates images over each other, the base first, all with `name` before their number; returns their paths. */
export async function makeChain(folder: string, name: string, sizes: readonly string[]): Promise<string[]> {
  const paths: string[] = [];
  for (const size of sizes) {
    const path = join(folder, `${name}-${paths.length}.qcow2`);
    await createImage(path, paths.at(-1), size);
    paths.push(path);
  }
  return paths;
}

/** A new image, over another one if that is named, as a person makes it with qemu-img: without bitmaps. */
export async function createImage(path: string, backing: string | undefined, size?: string): Promise<void> {
  const over = backing === undefined ? [] : ['-b', backing, '-F', 'qcow2'];
  await qemuImg('create', '-q', '-f', 'qcow2', ...over, path, ...(size === undefined ? [] : [size]));
}

/** Runs bitmap-tool, which must succeed. */
export async function tool(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await bitmapTool(...args);
  expect({ args, exitCode, stderr }).toEqual({ args, exitCode: 0, stderr: '' });
  return stdout;
}

export function checkpointOf(name: string, disks: readonly string[], parent?: string): string {
  return `<domaincheckpoint>
    <name>${name}</name>${parent === undefined ? '' : `<parent><name>${parent}</name></parent>`}
    <creationTime>1700000000</creationTime>
    <disks>${disks.map((disk) => `<disk name='${disk}' checkpoint='bitmap' bitmap='${name}'/>`).join('')}</disks>
  </domaincheckpoint>`;
}

/** A checkpoint that libvirt is to make now, on all disks. */
export function newCheckpoint(name: string): string {
  return `<domaincheckpoint><name>${name}</name></domaincheckpoint>`;
}

/** Whether backups, the full one first and each later one over those before, restore to what the disk holds. */
export async function restoresTo(disk: string, backups: readonly string[]): Promise<boolean> {
  for (const [index, backup] of backups.entries()) {
    if (index > 0) await qemuImg('rebase', '-u', '-b', backups[index - 1]!, '-F', 'qcow2', backup);
  }
  const { identical } = await compareImages(backups.at(-1)!, disk);
  return identical;
}
