/** Bitmaps as QEMU makes them, sound and broken. */
import { dirname } from 'node:path';
import { expect } from 'vitest';
import { type Qcow2Layer, writeTo } from './layer.ts';
import { keyFor } from './qemu.ts';
import type { Story } from './story.ts';

export interface BitmapToAdd {
  name: string;
  granularity: number;
  disabled?: boolean;
}

/** An empty bitmap, made by QEMU. */
export async function addBitmap(story: Story, layer: Qcow2Layer, bitmap: BitmapToAdd): Promise<void> {
  const disabled = bitmap.disabled ? ['--disable'] : [];
  const args = ['--add', '-g', String(bitmap.granularity), ...disabled, layer.ownName, bitmap.name];
  await story.run(dirname(layer.path), 'qemu-img', ['bitmap', ...keyFor(args), ...args]);
  layer.bitmaps.push(bitmap.name);
}

/** Ends a QEMU that has the image open: it stays whole, and every bitmap in it stays marked as in use. */
export async function crash(story: Story, layer: Qcow2Layer): Promise<void> {
  const commands = ['write -q -P 99 0 512', 'flush', 'sigraise 9'];
  await expect(writeTo(story, layer, commands)).rejects.toThrow('SIGKILL');
}
