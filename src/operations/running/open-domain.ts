/**
 * A guest of libvirt: its disks, its checkpoints, and its QEMU while it runs.
 */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CheckpointXml } from '../../checkpoint/xml/read-checkpoints.ts';
import { RefusedError, UsageError } from '../../errors.ts';
import { type DomainDisk, parseDomainDisks } from '../../qemu/domain-xml.ts';
import { processBehindSocket } from '../../qemu/process-behind-socket.ts';
import { type Qmp, QmpError } from '../../qemu/qmp.ts';
import { newVirsh, openVirshMonitor, type Virsh } from '../../qemu/virsh.ts';
import type { RunningQemu } from './open-qemu.ts';

export interface DomainAddress {
  /** Name, UUID or number of the guest. */
  readonly domain: string;
  /** libvirt's URI, for example qemu:///system; without it virsh chooses. */
  readonly connect?: string | undefined;
}

export interface Domain {
  readonly name: string;
  readonly virsh: Virsh;
  /** libvirt's name of the state, for example "running" or "shut off". */
  readonly state: string;
  /** undefined while it is shut off. */
  readonly qemu: RunningQemu | undefined;
  readonly disks: readonly DomainDisk[];
  /** The checkpoints that libvirt knows, parents first. */
  readonly checkpoints: readonly CheckpointXml[];
}

/** @throws FailedError when libvirt does not answer, or has no such guest */
export async function openDomain({ domain, connect }: DomainAddress): Promise<Domain> {
  const virsh = newVirsh(connect);
  const name = (await virsh.run('domname', '--domain', domain).catch(() => domain)).trim();
  const state = (await virsh.run('domstate', '--domain', domain)).trim();
  const disks = parseDomainDisks(await virsh.run('dumpxml', '--domain', domain));
  const names = (await virsh.run('checkpoint-list', '--domain', domain, '--name', '--topological'))
    .split('\n')
    .filter((line) => line !== '');
  const checkpoints: CheckpointXml[] = [];
  for (const checkpoint of names) {
    const xml = await virsh.run('checkpoint-dumpxml', '--domain', domain, '--checkpointname', checkpoint);
    checkpoints.push({ origin: `libvirt's checkpoint ${checkpoint}`, xml });
  }
  // domid does not take a number.
  const isActive = /^\d+$/.test((await virsh.run('domid', '--domain', name)).trim());
  const qemu = isActive ? await openQemuOf(virsh, name) : undefined;
  return { name, virsh, state, qemu, disks, checkpoints };
}

async function openQemuOf(virsh: Virsh, name: string): Promise<RunningQemu> {
  const folder = await privateFolder(openVirshMonitor(virsh, name));
  const processId =
    folder === undefined ? undefined : await processBehindSocket(join(folder, 'monitor.sock'));
  const qmp = openVirshMonitor(virsh, name, processId);
  return { name, qmp, place: { folder }, close: () => qmp.close() };
}

/**
 * The folder that libvirt has made for this run of the guest. SELinux and AppArmor let its QEMU read files
 * and create sockets there. QEMU reports the path of the master key, which libvirt puts into this folder.
 */
async function privateFolder(qmp: Qmp): Promise<string | undefined> {
  try {
    const file = await qmp.execute<string>('qom-get', { path: '/objects/masterKey0', property: 'file' });
    const folder = dirname(file);
    return (await stat(folder)).isDirectory() ? folder : undefined;
  } catch (error) {
    if (error instanceof QmpError || (error as NodeJS.ErrnoException).code !== undefined) return undefined;
    throw error;
  }
}

/**
 * The path of the image that the user names, either by path or by the target of the disk.
 *
 * @throws UsageError for a name that is neither a disk of the guest nor an image
 * @throws RefusedError for a disk that cannot have bitmaps
 */
export function imageOfDomain(domain: Domain, imageOrTarget: string): string {
  const isTarget = domain.disks.some(({ target }) => target === imageOrTarget);
  if (!isTarget && (/[/:]/.test(imageOrTarget) || existsSync(imageOrTarget))) return imageOrTarget;
  return chooseDisks(domain, [imageOrTarget])[0]!.path;
}

/** The guest without its read-only disks. libvirt leaves them out of a checkpoint that does not name them. */
export function withoutReadOnly(domain: Domain): Domain {
  const reason = 'it is read-only, and no known checkpoint has it';
  const disks = domain.disks.map((disk) =>
    disk.isReadOnly ? { ...disk, leftOut: disk.leftOut ?? reason } : disk,
  );
  return { ...domain, disks };
}

/**
 * The disks of an operation: those that are named by target, or all disks that can have checkpoints.
 *
 * @throws UsageError for a disk that the guest does not have
 * @throws RefusedError for a disk that cannot have a checkpoint, or if no disk can have one
 */
export function chooseDisks(
  { name, disks }: Domain,
  targets: readonly string[] | undefined,
): (DomainDisk & { readonly path: string })[] {
  for (const target of targets ?? []) {
    const disk = disks.find((each) => each.target === target);
    if (disk === undefined) {
      throw new UsageError(`${name}: has no disk ${target}`, {
        remedy: { kind: 'name-disk-of-guest', disks: disks.map((each) => each.target) },
      });
    }
    if (disk.leftOut !== undefined) {
      throw new RefusedError('UNSUPPORTED', `${name}: disk ${target}: ${disk.leftOut}`, {
        context: { domain: name },
      });
    }
  }
  const chosen = disks.flatMap((disk) =>
    disk.leftOut === undefined && disk.path !== undefined && (targets?.includes(disk.target) ?? true)
      ? [{ ...disk, path: disk.path }]
      : [],
  );
  if (chosen.length > 0) return chosen;
  throw new RefusedError('UNSUPPORTED', `${name}: none of its disks has a qcow2 image in a local file`, {
    context: { domain: name },
  });
}
