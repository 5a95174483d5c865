/** A QEMU that is killed while it has an image open for writing. */
import { expect } from 'vitest';
import { qemuIo } from './qemu.ts';

/** Leaves every bitmap of the image in use. What was written stays. */
export async function crashOn(image: string, ...writes: string[]): Promise<void> {
  const commands = writes.length > 0 ? writes : ['write -q 0 512'];
  await expect(qemuIo(image, ...commands, 'flush', 'sigraise 9')).rejects.toThrow('SIGKILL');
}
