/** Machines of libvirt with the disks of a test. They are only started paused. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { qemuImg } from '../../support/qemu.ts';
import { type Answer, killByPidFile, type Virsh } from './virsh.ts';

/** Paths of the active images by target. */
export type Disks = Readonly<Record<string, string>>;

interface BackupOptions {
  /** The checkpoint since which changes are wanted; without it all is backed up. */
  since?: string;
  /** The XML of a checkpoint to create in the same moment. */
  checkpoint?: string;
}

export interface Machine {
  readonly name: string;
  readonly disks: Disks;
  /** Gives the machine, while it is off, other images; checkpoints stay. */
  setDisks(disks: Disks): Promise<void>;
  start(): Promise<void>;
  /** As an orderly end of QEMU. */
  stop(): Promise<void>;
  /** kill -9 */
  crash(): Promise<void>;
  /** Runs qemu-io commands on a disk through the running QEMU, as the guest's writes would come. */
  write(target: string, ...commands: string[]): Promise<void>;
  /** `checkpoint-create --redefine --redefine-validate` */
  validate(xml: string): Promise<Answer>;
  dumpCheckpoint(name: string, ...options: string[]): Promise<string>;
  /** Lets libvirt forget checkpoints, and leaves the bitmaps. */
  forgetCheckpoints(): Promise<void>;
  /** Pushes a backup of each disk into a new image in this folder, named after the target, and waits for its end. */
  backup(folder: string, options?: BackupOptions): Promise<Answer>;
  endOfJob(): Promise<void>;
  /** libvirt's own external snapshot, with or without a running guest: an overlay of this name on each disk. */
  snapshot(name: string): Promise<void>;
  /** Commits the image below the active one of a disk into the image below that, while the machine runs. */
  commitLower(target: string): Promise<void>;
  /** Commits the active image of a disk into the image below it, which becomes the active one. */
  commitActive(target: string): Promise<void>;
  remove(): Promise<void>;
}

let machines = 0;

/** @param moreDevices XML of devices other than disks with checkpoints */
export async function defineMachine(
  virsh: Virsh,
  disks: Disks,
  name = `m${++machines}`,
  moreDevices = '',
): Promise<Machine> {
  const uuid = randomUUID();
  let current: Disks = disks;
  const on = (command: string, ...words: string[]) => virsh.run(command, name, ...words);
  const file = async (kind: string, xml: string) => {
    const path = join(virsh.root, `${name}-${kind}.xml`);
    await writeFile(path, xml);
    return path;
  };

  const machine: Machine = {
    name,
    get disks() {
      return current;
    },
    async setDisks(next) {
      current = next;
      await virsh.run('define', await file('domain', domainXml(name, uuid, next, moreDevices)));
    },
    async start() {
      await on('start', '--paused');
    },
    async stop() {
      await on('destroy');
    },
    async crash() {
      await killByPidFile(virsh.pidFile(name));
      while (!(await on('domstate')).startsWith('shut off')) await sleep(5);
    },
    async write(target, ...commands) {
      for (const command of commands) {
        const words = `qemu-io -d ${backendOf(target)} "${command}"`;
        const said = await on('qemu-monitor-command', '--hmp', words);
        if (said !== '') throw new Error(`${words}: ${said}`);
      }
    },
    async validate(xml) {
      const path = await file('checkpoint', xml);
      return await virsh.attempt('checkpoint-create', name, path, '--redefine', '--redefine-validate');
    },
    dumpCheckpoint: (checkpoint, ...options) => on('checkpoint-dumpxml', checkpoint, ...options),
    async forgetCheckpoints() {
      const names = (await on('checkpoint-list', '--name')).split('\n').filter((each) => each !== '');
      for (const each of names) await on('checkpoint-delete', each, '--metadata');
    },
    async backup(folder, { since, checkpoint } = {}) {
      for (const [target, image] of Object.entries(current)) {
        const copy = join(folder, `${target}.qcow2`);
        await qemuImg('create', '-q', '-f', 'qcow2', copy, await virtualSize(image));
      }
      const words = [await file('backup', backupXml(folder, current, since))];
      if (checkpoint !== undefined) words.push(await file('checkpoint', checkpoint));
      const begun = await virsh.attempt('backup-begin', name, '--reuse-external', ...words);
      if (!begun.ok) return begun;
      await machine.endOfJob();
      const output = await on('domjobinfo', '--completed');
      return { ok: /^Job type: +Completed/m.test(output), output };
    },
    async endOfJob() {
      while (!/^Job type: +None/m.test(await on('domjobinfo'))) await sleep(5);
    },
    async snapshot(overlay) {
      const next = Object.entries(current).map(
        ([target, image]) => [target, join(dirname(image), `${target}-${overlay}.qcow2`)] as const,
      );
      const specs = next.flatMap(([target, image]) => ['--diskspec', `${target},file=${image}`]);
      await on('snapshot-create-as', overlay, '--disk-only', '--no-metadata', ...specs);
      current = Object.fromEntries(next);
    },
    async commitLower(target) {
      const [, lower, below] = await chainOf(current[target]!);
      await on('blockcommit', target, '--top', lower!, '--base', below!, '--wait');
    },
    async commitActive(target) {
      const [, lower] = await chainOf(current[target]!);
      await on('blockcommit', target, '--shallow', '--active', '--pivot', '--wait');
      current = { ...current, [target]: lower! };
    },
    async remove() {
      await virsh.attempt('destroy', name);
      await virsh.run('undefine', name, '--checkpoints-metadata', '--snapshots-metadata');
    },
  };
  await machine.setDisks(disks);
  return machine;
}

/** The device of a disk, by the names that libvirt gives to virtio disks (vda) and SCSI disks (sda). */
function backendOf(target: string): string {
  const number = target.charCodeAt(2) - 'a'.charCodeAt(0);
  return target.startsWith('vd') ? `virtio-disk${number}/virtio-backend` : `scsi0-0-0-${number}`;
}

/** @param moreDevices XML of devices other than disks with checkpoints */
export function domainXml(name: string, uuid: string, disks: Disks, moreDevices = ''): string {
  const elements = Object.entries(disks).map(
    ([target, image]) => `<disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='${image}'/><target dev='${target}' bus='${target.startsWith('vd') ? 'virtio' : 'scsi'}'/>
    </disk>`,
  );
  return `<domain type='qemu'>
    <name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='pc'>hvm</type></os>
    <devices>
      ${elements.join('\n')}${moreDevices}
      <controller type='usb' model='none'/><memballoon model='none'/>
    </devices>
  </domain>`;
}

/** Paths, top first; also while the machine runs. */
export async function chainOf(image: string): Promise<string[]> {
  const list = JSON.parse(await qemuImg('info', '-U', '--backing-chain', '--output=json', image)) as {
    filename: string;
  }[];
  return list.map(({ filename }) => filename);
}

/** In bytes; also while the machine runs. */
async function virtualSize(image: string): Promise<string> {
  const info = JSON.parse(await qemuImg('info', '-U', '--output=json', image)) as { 'virtual-size': number };
  return String(info['virtual-size']);
}

function backupXml(folder: string, disks: Disks, since: string | undefined): string {
  const elements = Object.keys(disks).map(
    (target) => `<disk name='${target}' type='file'>
      <driver type='qcow2'/><target file='${join(folder, `${target}.qcow2`)}'/>
    </disk>`,
  );
  const incremental = since === undefined ? '' : `<incremental>${since}</incremental>`;
  return `<domainbackup mode='push'>${incremental}<disks>${elements.join('')}</disks></domainbackup>`;
}
