/**
 * The carrier: a small qcow2 image that contains only bitmaps. It brings marks into a running QEMU. No QMP
 * command sets bits, but block-dirty-bitmap-merge copies the bits of another node's bitmap.
 */
import { type FileHandle, open } from 'node:fs/promises';
import type { DirtyBitmap } from '../bitmap/dirty-bitmap.ts';
import { FailedError } from '../errors.ts';
import { openImage } from '../image/image.ts';
import { applyPlan } from '../plan/apply-plan.ts';
import { storeNew } from '../plan/bitmap-slot.ts';
import { planNewImage, planNewImageWithBitmaps } from '../plan/new-image.ts';
import { plannedFile } from '../plan/planned-file.ts';
import { openFile } from '../storage/file.ts';

export interface CarriedBitmap {
  readonly name: string;
  readonly bitmap: DirtyBitmap;
}

/**
 * Creates a new file that every user with access to its folder can read, since QEMU may run as another user.
 *
 * @throws FailedError when it cannot be written
 */
export async function writeCarrier(
  path: string,
  virtualSizeBytes: number,
  bitmaps: readonly CarriedBitmap[],
): Promise<void> {
  const created = await create(path);
  try {
    const steps = planNewImage({ virtualSizeBytes });
    const image = await openImage(plannedFile(path, steps));
    const plan = await planNewImageWithBitmaps(
      image,
      steps,
      bitmaps.map(({ name, bitmap }) => storeNew(name, false, bitmap)),
    );
    // The user of QEMU may put another file in its place meanwhile. The descriptor still names this one.
    const storage = await openFile(`/proc/self/fd/${created.fd}`, 'write', async () => {}, path);
    try {
      await applyPlan(storage, plan);
    } finally {
      await storage.close();
    }
  } finally {
    await created.close();
  }
}

async function create(path: string): Promise<FileHandle> {
  try {
    const created = await open(path, 'wx', 0o644);
    // The umask may have taken the right to read from QEMU's user.
    await created.chmod(0o644);
    return created;
  } catch (cause) {
    throw new FailedError('IO_ERROR', `${path}: cannot be made: ${(cause as Error).message}`, {
      cause,
      context: { file: path },
    });
  }
}
