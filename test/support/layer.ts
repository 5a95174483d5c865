/** One image of a chain as the builders of random images know it. */
import { dirname } from 'node:path';
import { keyFor, type LayerToOpen } from './qemu.ts';
import type { Qcow2Options } from './random-options.ts';
import type { Story } from './story.ts';

export interface RawLayer extends LayerToOpen {
  format: 'raw';
  encrypted: false;
  virtualSize: number;
  /** What QEMU's tools take for this layer with all that is below it. */
  name: string;
  /** Every file that holds a part of this layer. */
  files: string[];
}

export interface Qcow2Layer extends LayerToOpen {
  format: 'qcow2';
  encrypted: boolean;
  virtualSize: number;
  name: string;
  /** What `qemu-img bitmap` takes, which opens no backing images. */
  ownName: string;
  files: string[];
  options: Qcow2Options;
  bitmaps: string[];
  snapshots: string[];
  backing?: Layer;
}

export type Layer = RawLayer | Qcow2Layer;

/** Runs qemu-io commands on a layer, all in one process. */
export async function writeTo(story: Story, layer: Layer, commands: readonly string[]): Promise<void> {
  if (commands.length === 0) return;
  const format = layer.format === 'raw' ? ['-f', 'raw'] : [];
  const args = commands.flatMap((command) => ['-c', command]);
  const key = keyFor([layer.name]);
  const output = await story.run(dirname(layer.path), 'qemu-io', [...key, ...format, ...args, layer.name]);
  if (output.includes('failed')) throw new Error(`qemu-io on ${layer.path}: ${output}`);
}
