/** Asks QEMU about a state on disk, and reports differences from the checker. */
import { rename, writeFile } from 'node:fs/promises';
import type { ImageInfo } from '../../support/qemu.ts';
import { imageName, qemuCheck, qemuInfo } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import type { OpenedImage, StoredBitmap } from './checker/examine.ts';

/** The folder of a state, so that QEMU finds its other files. */
export interface Place {
  path: string;
  encrypted: boolean;
}

/** @param image undefined for a state that does not open */
export async function disagreements(
  bytes: Uint8Array,
  image: OpenedImage | undefined,
  { path, encrypted }: Place,
): Promise<string[]> {
  await writeFile(`${path}.new`, bytes);
  await rename(`${path}.new`, path);
  let info: ImageInfo;
  try {
    info = await qemuInfo(path);
  } catch (error) {
    return image === undefined ? [] : [`QEMU cannot open it: ${(error as Error).message}`];
  }
  if (image === undefined) return ['QEMU opens it, the checker does not'];
  const found: string[] = [];
  const said = JSON.stringify(info['format-specific']?.data.bitmaps ?? []);
  const expected = JSON.stringify(
    image.bitmaps.map(({ name, granularity, flags }) => ({ flags, name, granularity })),
  );
  if (normal(said) !== normal(expected)) found.push(`bitmaps: QEMU ${said}, checker ${expected}`);
  if ((info['backing-filename'] ?? '') !== (image.header.backing?.name ?? '')) {
    found.push(`QEMU's backing file is ${info['backing-filename']}`);
  }
  const check = await qemuCheck(imageName({ path, format: 'qcow2', encrypted }));
  if (check.errors !== 0) found.push(`qemu-img check: ${check.errors} check errors`);
  if (check.corruptions > 0 !== image.errors.length > 0) {
    found.push(`corruptions: QEMU ${check.corruptions}, checker ${image.errors.join('; ') || 'none'}`);
  }
  if (check.leaks !== image.leaks.length && image.errors.length === 0) {
    found.push(`leaks: QEMU ${check.leaks}, checker ${image.leaks.length}`);
  }
  return found;
}

/** Key order aside. */
function normal(json: string): string {
  const bitmaps: { name: string; granularity: number; flags: string[] }[] = JSON.parse(json);
  return bitmaps
    .map(({ name, granularity, flags }) => `${name} ${granularity} ${[...flags].sort().join()}`)
    .join('\n');
}

/** Reads a bitmap's content through qemu-nbd and compares it with what the checker read. */
export async function contentDisagreement(
  { name, granularity, bits }: StoredBitmap,
  { path, encrypted }: Place,
): Promise<string[]> {
  if (bits === undefined) return [];
  const extents = await dirtyExtents(imageName({ path, format: 'qcow2', encrypted }), name);
  const wrong = extents.find(({ offset, length, type }) => {
    const last = Math.floor((offset + length - 1) / granularity);
    for (let granule = Math.floor(offset / granularity); granule <= last; granule++) {
      if (((bits[granule >> 3]! >> (granule & 7)) & 1) !== type) return true;
    }
    return false;
  });
  return wrong === undefined
    ? []
    : [`content of "${name}": QEMU's extent ${JSON.stringify(wrong)} is not the checker's`];
}
