/** Overwrites single bytes of an image, to break it in one place. */
import { open } from 'node:fs/promises';

/** Holds autoclear bit 0: cleared, the bitmaps are outdated. */
export const AUTOCLEAR_LOWEST_BYTE = 95;

export async function setByte(path: string, offset: number, byte: number): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(Uint8Array.of(byte), 0, 1, offset);
  await file.close();
}
