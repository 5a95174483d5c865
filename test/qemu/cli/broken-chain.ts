/** A chain of three images whose top lacks the bitmap of its checkpoint. */
import { join } from 'node:path';
import { expect } from 'vitest';
import type { CheckResult } from '../../../src/index.ts';
import type { AsJson } from '../../support/as-json.ts';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { crashOn } from '../../support/crash.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';

/** Top first. Each image below the top has c1, which began in the base. */
export async function brokenChain(folder: string, prefix: string, ...options: string[]): Promise<string[]> {
  const [top, middle, base] = ['top', 'middle', 'base'].map((name) => join(folder, `${prefix}${name}.qcow2`));
  await qemuImg('create', '-q', '-f', 'qcow2', ...options, base!, '8M');
  await qemuIo(base!, 'write -q 0 1M');
  await qemuImg('bitmap', '--add', base!, 'c1');
  await overlay(middle!, base!);
  await qemuImg('bitmap', '--add', middle!, 'c1');
  await qemuIo(middle!, 'write -q 1M 64k');
  await overlay(top!, middle!);
  await qemuIo(top!, 'write -q 2M 64k');
  return [top!, middle!, base!];
}

export async function overlay(path: string, backing: string, ...options: string[]): Promise<void> {
  await qemuImg('create', '-q', '-f', 'qcow2', ...options, '-b', backing, '-F', 'qcow2', path);
}

export const crash = (image: string) => crashOn(image, 'write -q 4M 64k');

export async function check(image: string, ...options: string[]): Promise<AsJson<CheckResult>> {
  const { json, stderr } = await bitmapTool('check', '--json', ...options, image);
  expect(json, stderr).toBeDefined();
  return json as AsJson<CheckResult>;
}

export function problemCodes({ disks }: AsJson<CheckResult>): string[] {
  return disks.flatMap(({ checkpoints, images }) => [
    ...checkpoints.flatMap(({ problems }) => problems.map(({ code }) => code)),
    ...images.flatMap(({ problems }) => problems.map(({ code }) => code)),
  ]);
}
