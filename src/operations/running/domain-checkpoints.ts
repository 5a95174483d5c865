/**
 * Judges and repairs the checkpoints of a guest by its name, running or shut off, and asks libvirt for its own verdict.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkpointXml } from '../../checkpoint/xml/encode-checkpoint.ts';
import { readCheckpoints, type StoredCheckpoint } from '../../checkpoint/xml/read-checkpoints.ts';
import { type CheckOptions, type CheckResult, checkCheckpoints } from '../checkpoints/check-checkpoints.ts';
import { repairCheckpoints } from '../checkpoints/repair-checkpoints.ts';
import type { RepairOptions, RepairResult } from '../checkpoints/repair-result.ts';
import { checkRunning } from './check-checkpoints.ts';
import { chooseDisks, type Domain, type DomainAddress, openDomain } from './open-domain.ts';
import { repairRunning } from './repair-checkpoints.ts';

/** What libvirt itself says of a checkpoint of a running guest. */
interface LibvirtVerdict {
  readonly checkpoint: string;
  readonly valid: boolean;
  /** What an incremental backup from it copies, in bytes; null where libvirt does not say. */
  readonly dirtyBytes: number | null;
  /** libvirt's own words where it refuses; null otherwise. */
  readonly message: string | null;
  /** libvirt had lost it, and took it up again. */
  readonly redefined: boolean;
}

export interface DomainReport {
  readonly name: string;
  /** libvirt's own word, for example "running" or "shut off". */
  readonly state: string;
  /** What the guest calls the disks, in the order of the result's. */
  readonly targets: readonly string[];
  /** Disks that no checkpoint can be of. */
  readonly leftOut: readonly { readonly disk: string; readonly reason: string }[];
  /** Empty for a guest that is shut off: libvirt judges running ones only. */
  readonly verdicts: readonly LibvirtVerdict[];
}

export type DomainCheckResult = CheckResult & { readonly domain: DomainReport };
export type DomainRepairResult = RepairResult & { readonly domain: DomainReport };

/** Of a running guest, all is read through its QEMU; of one that is shut off, from the images. */
export async function checkDomain(
  address: DomainAddress,
  options: CheckOptions = {},
): Promise<DomainCheckResult> {
  return withDomain(address, options, async (domain, images, all) => {
    const { qemu } = domain;
    const result =
      qemu === undefined ? await checkCheckpoints(images, all) : await checkRunning(qemu, images, all);
    const verdicts = qemu === undefined ? [] : await judgeKnown(domain, await known(all));
    const healthy = result.healthy && verdicts.every(({ valid }) => valid);
    return { ...result, healthy, domain: report(domain, all, verdicts) };
  });
}

/**
 * Makes the checkpoints valid again, and has libvirt take up those of `checkpoints` that it had lost.
 *
 * @throws RefusedError, InUseError as `repairCheckpoints`; nothing was changed then
 */
export async function repairDomain(
  address: DomainAddress,
  options: RepairOptions = {},
): Promise<DomainRepairResult> {
  return withDomain(address, options, async (domain, images, all) => {
    const { qemu } = domain;
    const result =
      qemu === undefined ? await repairCheckpoints(images, all) : await repairRunning(qemu, images, all);
    const repaired = new Set(result.disks.flatMap(({ checkpoints }) => checkpoints.map(({ name }) => name)));
    const checkpoints = (await known(all)).filter(({ name }) => repaired.has(name));
    const verdicts =
      qemu === undefined || result.dryRun
        ? []
        : [...(await judgeKnown(domain, checkpoints)), ...(await redefineLost(domain, checkpoints))];
    return { ...result, domain: report(domain, all, verdicts) };
  });
}

type DomainOptions = CheckOptions & { readonly disks?: readonly string[] | undefined };

async function withDomain<Options extends DomainOptions, T>(
  address: DomainAddress,
  options: Options,
  work: (domain: Domain, images: readonly string[], options: Options) => Promise<T>,
): Promise<T> {
  const domain = await openDomain(address);
  const disks = chooseDisks(domain, options.disks);
  for (const { target, leftOut } of domain.disks) {
    if (leftOut !== undefined && options.disks === undefined) {
      options.onWarning?.(`${domain.name}: disk ${target} is left out: ${leftOut}`);
    }
  }
  const images = disks.map(({ path }) => path);
  const hasRecords = domain.checkpoints.length + (options.checkpoints?.length ?? 0) > 0;
  const targets = hasRecords ? disks.map(({ target }) => target) : undefined;
  return work(domain, images, { ...options, documents: domain.checkpoints, disks: targets });
}

async function known({ checkpoints, documents }: DomainOptions): Promise<StoredCheckpoint[]> {
  return readCheckpoints(checkpoints ?? [], {}, documents);
}

function report(domain: Domain, { disks }: DomainOptions, verdicts: readonly LibvirtVerdict[]): DomainReport {
  const { name, state } = domain;
  return {
    name,
    state,
    targets: chooseDisks(domain, disks).map(({ target }) => target),
    leftOut: domain.disks.flatMap(({ target, leftOut }) =>
      leftOut === undefined ? [] : [{ disk: target, reason: leftOut }],
    ),
    verdicts,
  };
}

/** `virsh checkpoint-dumpxml --size` looks at every bitmap and adds up what a backup would copy. */
async function judgeKnown(
  { name: domain, virsh, checkpoints }: Domain,
  wanted: readonly StoredCheckpoint[],
): Promise<LibvirtVerdict[]> {
  const verdicts: LibvirtVerdict[] = [];
  const ofLibvirt = new Set((await readCheckpoints([], {}, checkpoints)).map(({ name }) => name));
  for (const { name } of wanted.filter((checkpoint) => ofLibvirt.has(checkpoint.name))) {
    const what = ['--domain', domain, '--checkpointname', name, '--size', '--no-domain'];
    const answer = await virsh.attempt('checkpoint-dumpxml', ...what);
    const sizes = answer.ok
      ? [...answer.output.matchAll(/ size='(\d+)'/g)].map(([, size]) => Number(size))
      : [];
    verdicts.push({
      checkpoint: name,
      valid: answer.ok && sizes.length > 0,
      dirtyBytes: sizes.length === 0 ? null : sizes.reduce((sum, size) => sum + size, 0),
      message: answer.ok
        ? sizes.length > 0
          ? null
          : 'libvirt finds no bitmap of it that is valid'
        : answer.message,
      redefined: false,
    });
  }
  return verdicts;
}

/** `virsh checkpoint-create --redefine --redefine-validate`, parents first. */
async function redefineLost(
  { name: domain, virsh, checkpoints }: Domain,
  wanted: readonly StoredCheckpoint[],
): Promise<LibvirtVerdict[]> {
  const verdicts: LibvirtVerdict[] = [];
  const ofLibvirt = new Set((await readCheckpoints([], {}, checkpoints)).map(({ name }) => name));
  for (const checkpoint of wanted.filter(({ name }) => !ofLibvirt.has(name))) {
    const answer = await withTextFile(checkpointXml(checkpoint), (file) =>
      virsh.attempt('checkpoint-create', domain, file, '--redefine', '--redefine-validate'),
    );
    verdicts.push({
      checkpoint: checkpoint.name,
      valid: answer.ok,
      dirtyBytes: null,
      message: answer.ok ? null : answer.message,
      redefined: answer.ok,
    });
  }
  return verdicts;
}

/** virsh takes XML from files alone. */
async function withTextFile<T>(text: string, work: (file: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'bitmap-tool-'));
  try {
    const file = join(folder, 'checkpoint.xml');
    await writeFile(file, text);
    return await work(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
