/**
 * The option that names a running QEMU to work in, instead of on the files.
 */
import type * as running from '../operations/running/running.ts';
import { shellPath, shellWord } from '../text/shell-word.ts';
import { CommandLineError } from './errors.ts';
import { FILE, FREE, type OptionDefinition } from './option.ts';

export type RunningOperations = typeof running;
export type { RunningQemu } from '../operations/running/running.ts';

export interface QemuFlag {
  qmp?: string;
}

export interface DomainFlags extends QemuFlag {
  domain?: string;
  connect?: string;
}

export const QEMU_OPTION: OptionDefinition = {
  flags: '--qmp <socket>',
  description: 'work through the QMP socket of the QEMU, or qemu-storage-daemon, that has the image open',
  completes: FILE,
};

/** `--qmp`, and the guest by its name. */
export const DOMAIN_OPTIONS: readonly OptionDefinition[] = [
  QEMU_OPTION,
  {
    flags: '--domain <guest>',
    description: 'a guest of libvirt, running or shut off, instead of images',
    completes: FREE,
  },
  {
    flags: '--connect <uri>',
    description: 'with --domain: which libvirt, for example qemu:///system',
    completes: FREE,
  },
];

/** @throws CommandLineError unless either images or a guest are named */
export function requireOneWay(images: readonly string[], { domain, connect, qmp }: DomainFlags): void {
  if (domain === undefined && connect !== undefined)
    throw new CommandLineError('--connect belongs to --domain');
  if (domain !== undefined && qmp !== undefined) {
    throw new CommandLineError('--domain and --qmp are two ways to one QEMU: name one');
  }
  if (domain === undefined && images.length === 0) {
    throw new CommandLineError(
      "missing required argument 'image'",
      'Name the active image of each disk, or a guest: --domain.',
    );
  }
  if (domain !== undefined && images.length > 0) {
    throw new CommandLineError('--domain tells the images itself', 'Choose disks of the guest with --disk.');
  }
}

/** The words by which a command names what this one was called for, where that is not images at rest. */
export function callOf({ domain, connect, qmp }: DomainFlags): readonly string[] | undefined {
  if (domain !== undefined) {
    return [
      '--domain',
      shellWord(domain),
      ...(connect === undefined ? [] : ['--connect', shellWord(connect)]),
    ];
  }
  return qmp === undefined ? undefined : ['--qmp', shellPath(qmp)];
}

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
