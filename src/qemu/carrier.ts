/**
 * The carrier: a small qcow2 image that contains only bitmaps. It brings marks into a running QEMU. No QMP
 * command sets bits, but block-dirty-bitmap-merge copies the bits of another node's bitmap.
 */
import { open } from 'node:fs/promises';
import type { DirtyBitmap } from '../bitmap/dirty-bitmap.ts';
import { FailedError } from '../errors.ts';
import { openImage } from '../image/image.ts';
import { applyPlan } from '../plan/apply-plan.ts';
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
  try {
    const created = await open(path, 'wx', 0o644);
    await created.chmod(0o644);
    await created.close();
  } catch (cause) {
    throw new FailedError('IO_ERROR', `${path}: cannot be made: ${(cause as Error).message}`, {
      cause,
      context: { file: path },
    });
  }
  const wanted = bitmaps.map(({ name, bitmap }) => ({
    kind: 'store' as const,
    name,
    nameBytes: new TextEncoder().encode(name),
    auto: false,
    bitmap,
  }));
  const steps = planNewImage({ virtualSizeBytes });
  const plan = await planNewImageWithBitmaps(await openImage(plannedFile(path, steps)), steps, wanted);
  const storage = await openFile(path, 'write', async () => {});
  try {
    await applyPlan(storage, plan);
  } finally {
    await storage.close();
  }
}
