/**
 * The options that name a running QEMU or a guest. The command then works there instead of on files.
 */
import type * as running from '../operations/running/running.ts';
import { shellPath, shellWord } from '../text/shell-word.ts';
import { CommandLineError } from './errors.ts';
import { FILE, FREE, type OptionDefinition } from './option.ts';

export type RunningOperations = typeof running;
export type { RunningQemu } from '../operations/running/running.ts';

export interface DomainFlags {
  qmp?: string;
  domain?: string;
  connect?: string;
}

/** Name a running QEMU by its socket, or a guest by its name. */
export const DOMAIN_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: '--qmp <socket>',
    description: 'work through the QMP socket of the QEMU, or qemu-storage-daemon, that has the image open',
    completes: FILE,
  },
  {
    flags: '--domain <guest>',
    description: 'a guest of libvirt by name, UUID or number, running or shut off',
    completes: FREE,
  },
  {
    flags: '--connect <uri>',
    description: 'with --domain: which libvirt, for example qemu:///system',
    completes: FREE,
  },
];

/** @throws CommandLineError unless the options fit together */
function requireOneGuest({ domain, connect, qmp }: DomainFlags): void {
  if (domain === undefined && connect !== undefined)
    throw new CommandLineError('--connect belongs to --domain');
  if (domain !== undefined && qmp !== undefined) {
    throw new CommandLineError('--domain and --qmp are two ways to one QEMU: name one');
  }
}

/** @throws CommandLineError unless the command line names either images or a guest */
export function requireOneWay(images: readonly string[], flags: DomainFlags): void {
  requireOneGuest(flags);
  if (flags.domain === undefined && images.length === 0) {
    throw new CommandLineError(
      "missing required argument 'image'",
      'Name the active image of each disk, or a guest: --domain.',
    );
  }
  if (flags.domain !== undefined && images.length > 0) {
    throw new CommandLineError('--domain provides the images', 'Choose disks of the guest with --disk.');
  }
}

/** The options with which another call names the same guest or QEMU. Undefined for images at rest. */
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

/** Connects to QEMU during the work. Loads the code for running QEMUs only now. */
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

/** The work on one image: on the file, or in the QEMU that has the image open. */
interface WorkOnImage<T> {
  readonly atRest: (image: string) => Promise<T>;
  readonly running: (qemu: running.RunningQemu, operations: RunningOperations, image: string) => Promise<T>;
}

export interface DoneOnImage<T> {
  readonly result: T;
  readonly isRunning: boolean;
}

/** @param image a path, or the guest's name for the disk with `--domain` */
export async function workOnImage<T>(
  image: string,
  flags: DomainFlags,
  { atRest, running: inQemu }: WorkOnImage<T>,
): Promise<DoneOnImage<T>> {
  requireOneGuest(flags);
  const { qmp, domain, connect } = flags;
  if (qmp !== undefined) {
    const result = await withQemu(qmp, (qemu, operations) => inQemu(qemu, operations, image));
    return { result, isRunning: true };
  }
  if (domain === undefined) return { result: await atRest(image), isRunning: false };
  const operations = await import('../operations/running/running.ts');
  const guest = await operations.openDomain({ domain, connect });
  const path = operations.imageOfDomain(guest, image);
  if (guest.qemu === undefined) return { result: await atRest(path), isRunning: false };
  return { result: await inQemu(guest.qemu, operations, path), isRunning: true };
}
