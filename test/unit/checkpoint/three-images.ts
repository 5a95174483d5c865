/**
 * A chain of three images with the bitmaps of two checkpoints, made by QEMU once and copied for each test.
 *
 * All are good and mark what was written since. In units of 64 KiB, the size of a cluster:
 *
 *            holds       c1 marks   c2 marks   granularity of c2
 *   top      40          40         40         64 KiB
 *   middle   20          20         20, 21     128 KiB
 *   base     0…3, 8, 12  8, 12      12         32 KiB
 */
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { makeTemporaryFolder, scratchFolder } from '../../support/scratch.ts';
import { EditedImage } from '../image/edited-image.ts';

export const UNIT = 64 << 10;

/** Flags of a directory entry. */
export const [DISABLED, IN_USE] = [0, 3];

export interface ThreeImages {
  readonly folder: string;
  readonly top: string;
  readonly middle: string;
  readonly base: string;
}

/** To be called outside of tests; what it returns copies the chain inside of one. */
export function threeImages(): () => Promise<ThreeImages> {
  let made: string;
  beforeAll(async () => {
    made = await makeTemporaryFolder();
    const [top, middle, base] = paths(made);
    await qemuImg('create', '-q', '-f', 'qcow2', base, '8M');
    await qemuIo(base, 'write -q 0 256k');
    await qemuImg('bitmap', '--add', base, 'c1');
    await qemuIo(base, 'write -q 512k 64k');
    await qemuImg('bitmap', '--add', '-g', '32k', base, 'c2');
    await qemuIo(base, 'write -q 768k 64k');
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', middle);
    await qemuImg('bitmap', '--add', middle, 'c1');
    await qemuImg('bitmap', '--add', '-g', '128k', middle, 'c2');
    await qemuIo(middle, 'write -q 1280k 64k');
    await qemuImg('create', '-q', '-f', 'qcow2', '-b', 'middle.qcow2', '-F', 'qcow2', top);
    for (const name of ['c1', 'c2']) await qemuImg('bitmap', '--add', top, name);
    await qemuIo(top, 'write -q 2560k 64k');
  });
  afterAll(async () => {
    await rm(made, { recursive: true, force: true });
  });
  return async () => {
    const folder = await scratchFolder();
    await cp(made, folder, { recursive: true });
    const [top, middle, base] = paths(folder);
    return { folder, top, middle, base };
  };
}

function paths(folder: string) {
  return ['top', 'middle', 'base'].map((name) => join(folder, `${name}.qcow2`)) as [string, string, string];
}

export async function edit(path: string, change: (image: EditedImage) => void): Promise<void> {
  const bytes = await readFile(path);
  // Room up to the end of the last cluster.
  const image = new EditedImage(Buffer.concat([bytes, Buffer.alloc((UNIT - (bytes.length % UNIT)) % UNIT)]));
  change(image);
  await writeFile(path, image.bytes);
}

export async function setFlags(path: string, name: string, flags: number): Promise<void> {
  await edit(path, (image) => {
    image.changeEntry(placeOf(image, name), { flags });
  });
}

export function placeOf(image: EditedImage, name: string): number {
  return image.entries().findIndex((entry) => Buffer.from(entry.name).toString() === name);
}

/** A checkpoint as a file of XML; `source` is the image that was active when it was made. */
export async function writeCheckpoint(
  folder: string,
  name: string,
  { source, parent }: { source?: string; parent?: string } = {},
): Promise<string> {
  const path = join(folder, `${name}.xml`);
  const ancestry = parent === undefined ? '' : `<parent><name>${parent}</name></parent>`;
  const disk = `<disk><source file='${source}'/><target dev='vda'/></disk>`;
  const domain = source === undefined ? '' : `<domain><devices>${disk}</devices></domain>`;
  await writeFile(
    path,
    `<domaincheckpoint><name>${name}</name>${ancestry}<creationTime>1</creationTime><disks><disk name='vda'/></disks>${domain}</domaincheckpoint>`,
  );
  return path;
}
