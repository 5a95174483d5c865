/** Compares the verdicts of bitmap-tool with those of libvirt. */
import { expect } from 'vitest';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { qemuCheck } from '../../support/qemu.ts';
import type { Guest } from './guest.ts';
import { tool } from './images.ts';

interface CheckedName {
  name: string;
  libvirt: string;
  valid: boolean;
  dirtyBytes: number;
}

/** What check says of each checkpoint, of all disks together. */
export async function check(
  guest: Guest,
): Promise<{ exitCode: number | undefined; checkpoints: CheckedName[] }> {
  const { exitCode, json } = await bitmapTool('check', '--json', ...guest.images);
  const { disks } = json as { disks: { checkpoints: CheckedName[] }[] };
  const checkpoints = guest.checkpoints.map((name) => {
    const found = disks.map(({ checkpoints }) => checkpoints.find((each) => each.name === name)!);
    return {
      name,
      libvirt: found.every(({ libvirt }) => libvirt === 'accepts') ? 'accepts' : 'refuses',
      valid: found.every(({ valid }) => valid),
      dirtyBytes: found.reduce((sum, { dirtyBytes }) => sum + dirtyBytes, 0),
    };
  });
  return { exitCode, checkpoints };
}

/** Repairs, and holds what check says of the result against what libvirt says, and to the images themselves. */
export async function repair(guest: Guest, ...options: string[]): Promise<void> {
  await tool('repair', ...options, ...guest.images);
  for (const image of guest.images) {
    expect(await qemuCheck(image)).toMatchObject({ errors: 0, leaks: 0, corruptions: 0 });
  }
  const { exitCode, checkpoints } = await check(guest);
  expect(exitCode).toBe(0);
  expect(checkpoints.filter(({ valid }) => !valid)).toEqual([]);
  await guest.machine.start();
  expect(await guest.verdicts()).toEqual(of(guest, 'valid'));
  expect(await guest.sizes()).toEqual(
    Object.fromEntries(checkpoints.map(({ name, dirtyBytes }) => [name, dirtyBytes])),
  );
}

/** The same for every checkpoint of the guest. */
export const of = <T>({ checkpoints }: Guest, value: T): Record<string, T> =>
  Object.fromEntries(checkpoints.map((name) => [name, value]));

/** libvirt accepts none of the checkpoints, and check says so. */
export async function expectBroken(guest: Guest): Promise<void> {
  await guest.machine.start();
  for (const [name, output] of Object.entries(await guest.verdicts('nothing'))) {
    expect(output).toMatch(`checkpoint inconsistent: missing or broken bitmap '${name}' for disk '`);
  }
  await guest.machine.stop();
  const { exitCode, checkpoints } = await check(guest);
  expect(exitCode).toBe(3);
  expect(checkpoints.filter(({ libvirt }) => libvirt !== 'refuses')).toEqual([]);
}
