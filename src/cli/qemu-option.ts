/**
 * The option that names a running QEMU to work in, instead of on the files.
 */
import type * as running from '../operations/running/running.ts';
import { FILE, type OptionDefinition } from './option.ts';

export type RunningOperations = typeof running;
export type { RunningQemu } from '../operations/running/running.ts';

export interface QemuFlag {
  qmp?: string;
}

export const QEMU_OPTION: OptionDefinition = {
  flags: '--qmp <socket>',
  description: 'work through the QMP socket of the QEMU, or qemu-storage-daemon, that has the image open',
  completes: FILE,
};

/** Connects for the time of the work; all that only a running QEMU takes is loaded now. */
export async function withQemu<T>(
  qmp: string,
  work: (qemu: running.RunningQemu, operations: RunningOperations) => Promise<T>,
): Promise<T> {
  const operations = await import('../operations/running/running.ts');
  const qemu = await operations.openQemu({ qmp });
  try {
    return await work(qemu, operations);
  } finally {
    await qemu.close();
  }
}
