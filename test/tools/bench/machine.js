/** Describes the machine and the programs that a measurement was made with. */

import { cpus, totalmem } from 'node:os';
import { output } from './measure.js';

/** @typedef {Awaited<ReturnType<typeof describeMachine>>} Machine */

export async function describeMachine() {
  const qemu = await output(['qemu-img', '--version']);
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    qemu: /version (\S+)/.exec(qemu)?.[1] ?? 'unknown',
  };
}
