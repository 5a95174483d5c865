/** The guest's view of a disk, as our reader and as QEMU return it. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openChain } from '../../src/chain/chain.ts';
import { parseReference } from '../../src/chain/reference.ts';
import { openGuestReader } from '../../src/guest/data/guest-reader.ts';
import type { Extent } from './extents.ts';
import { type ImageName, qemuImg } from './qemu.ts';
import { makeTemporaryFolder } from './scratch.ts';

/** Reads in pieces of `pieceBytes`, wherever these cut clusters. */
export async function readGuestDisk(image: string, pieceBytes = 1 << 20): Promise<Buffer> {
  const chain = await openChain(parseReference(image, undefined), { mode: 'read', locking: 'lock' });
  try {
    const reader = await openGuestReader(chain, 'lock');
    try {
      // What is not filled shows.
      const disk = Buffer.alloc(reader.virtualSizeBytes, 0xa5);
      for await (const batch of reader.extents()) {
        for (const extent of batch) {
          const end = extent.start + extent.length;
          for (let start = extent.start; start < end; start += pieceBytes) {
            await reader.read(extent, start, disk.subarray(start, Math.min(start + pieceBytes, end)));
          }
        }
      }
      return disk;
    } finally {
      await reader.close();
    }
  } finally {
    await chain.close();
  }
}

export async function qemuGuestDisk(image: ImageName): Promise<Buffer> {
  const folder = await makeTemporaryFolder();
  try {
    const raw = join(folder, 'disk.raw');
    await qemuImg('convert', '-O', 'raw', image, raw);
    return await readFile(raw);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Every unit of which a byte differs; where one disk is shorter it counts as zeros. */
export function differingExtents(one: Buffer, other: Buffer, unitBytes: number): Extent[] {
  const size = Math.max(one.length, other.length);
  const [a, b] = [Buffer.alloc(size), Buffer.alloc(size)];
  one.copy(a);
  other.copy(b);
  const extents: Extent[] = [];
  for (let start = 0; start < size; start += unitBytes) {
    const end = Math.min(start + unitBytes, size);
    if (!a.subarray(start, end).equals(b.subarray(start, end))) extents.push({ start, length: end - start });
  }
  return extents;
}

/** Where two disks that should be equal first are not; undefined where they are. */
export function firstDifference(ours: Buffer, theirs: Buffer): string | undefined {
  if (ours.length !== theirs.length) return `${ours.length} bytes, expected ${theirs.length}`;
  if (ours.equals(theirs)) return undefined;
  const at = ours.findIndex((byte, index) => byte !== theirs[index]);
  return `byte ${at} is ${ours[at]}, expected ${theirs[at]}`;
}
