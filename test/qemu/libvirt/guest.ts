/** A machine with writes and backups, which can be restored. */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { qemuIo } from '../../support/qemu.ts';
import type { Random } from '../../support/random.ts';
import { randomWrites, writeCommands } from '../../support/random-writes.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { checkpointOf, createImage, newCheckpoint, restoresTo } from './images.ts';
import { defineMachine, type Machine } from './machine.ts';
import type { Virsh } from './virsh.ts';

const DISK = { virtualSize: 64 * 2 ** 20, clusterSize: 65536 };

export class Guest {
  readonly folder: string;
  readonly machine: Machine;
  readonly #random: Random;
  /** Folders of backups: the full one, then what changed between one checkpoint and the next. */
  readonly #backups: string[] = [];
  readonly checkpoints: string[] = [];
  #overlays = 0;

  constructor(folder: string, machine: Machine, random: Random) {
    this.folder = folder;
    this.machine = machine;
    this.#random = random;
  }

  /** The active image of each disk. */
  get images(): string[] {
    return Object.values(this.machine.disks);
  }

  get targets(): string[] {
    return Object.keys(this.machine.disks);
  }

  #writes(): string[] {
    return writeCommands(randomWrites(this.#random, DISK, ['data', 'data', 'zero', 'discard'], 5));
  }

  /** Writes through the running QEMU. */
  async write(): Promise<void> {
    for (const target of this.targets) await this.machine.write(target, ...this.#writes(), 'flush');
  }

  /** A backup of what changed since the last checkpoint, everything at first, and a new checkpoint. */
  async backUp(checkpoint: string): Promise<void> {
    const folder = join(this.folder, `backup-${this.#backups.length}`);
    await mkdir(folder);
    const since = this.checkpoints.at(-1);
    const options = { checkpoint: newCheckpoint(checkpoint), ...(since === undefined ? {} : { since }) };
    expect(await this.machine.backup(folder, options)).toMatchObject({ ok: true });
    this.#backups.push(folder);
    this.checkpoints.push(checkpoint);
  }

  /** For each checkpoint, whether what has changed since, over the backups until it, makes the disks as they are. */
  async restores(): Promise<Record<string, boolean>> {
    const changes: string[] = [];
    for (const checkpoint of this.checkpoints) {
      const folder = join(this.folder, `since-${checkpoint}`);
      await mkdir(folder);
      expect(await this.machine.backup(folder, { since: checkpoint })).toMatchObject({ ok: true });
      changes.push(folder);
    }
    await this.machine.stop();
    const result: Record<string, boolean> = {};
    for (const [index, checkpoint] of this.checkpoints.entries()) {
      const folders = [...this.#backups.slice(0, index + 1), changes[index]!];
      result[checkpoint] = true;
      for (const [target, image] of Object.entries(this.machine.disks)) {
        const files = folders.map((folder) => join(folder, `${target}.qcow2`));
        result[checkpoint] &&= await restoresTo(image, files);
      }
    }
    return result;
  }

  /** Puts an overlay on each disk while the machine is off, with the guest's writes in it. */
  async extend(by: 'qemu-img' | 'libvirt'): Promise<void> {
    const overlay = `overlay${++this.#overlays}`;
    if (by === 'libvirt') await this.machine.snapshot(overlay);
    else await this.#extendByHand(overlay);
    for (const image of this.images) await qemuIo(image, ...this.#writes());
  }

  async #extendByHand(overlay: string): Promise<void> {
    const next: Record<string, string> = {};
    for (const [target, image] of Object.entries(this.machine.disks)) {
      next[target] = join(dirname(image), `${target}-${overlay}.qcow2`);
      await createImage(next[target], image);
    }
    await this.machine.setDisks(next);
  }

  /** What libvirt says when it is to take each checkpoint up again, after its parent or for itself. */
  async verdicts(after: 'parent' | 'nothing' = 'parent'): Promise<Record<string, string>> {
    const result: Record<string, string> = {};
    for (const [index, name] of this.checkpoints.entries()) {
      const parent = after === 'parent' ? this.checkpoints[index - 1] : undefined;
      const xml = checkpointOf(name, this.targets, parent);
      const { ok, output } = await this.machine.validate(xml);
      result[name] = ok ? 'valid' : output;
    }
    return result;
  }

  /** Bytes that libvirt would back up since each checkpoint, of all disks. */
  async sizes(): Promise<Record<string, number>> {
    const result: Record<string, number> = {};
    for (const name of this.checkpoints) {
      const xml = await this.machine.dumpCheckpoint(name, '--size', '--no-domain');
      result[name] = Array.from(xml.matchAll(/ size='(\d+)'/g), ([, size]) => Number(size)).reduce(
        (sum, size) => sum + size,
        0,
      );
    }
    return result;
  }
}

/** Its disks hold something, and are removed with it when the test ends. */
export async function newGuest(virsh: Virsh, targets: readonly string[], random: Random): Promise<Guest> {
  const folder = await scratchFolder();
  const images = Object.fromEntries(targets.map((target) => [target, join(folder, `${target}-base.qcow2`)]));
  for (const image of Object.values(images)) {
    await createImage(image, undefined, String(DISK.virtualSize));
    await qemuIo(image, ...writeCommands(randomWrites(random, DISK, ['data', 'zero'], 8)));
  }
  const machine = await defineMachine(virsh, images);
  onTestFinished(() => machine.remove());
  return new Guest(folder, machine, random);
}
