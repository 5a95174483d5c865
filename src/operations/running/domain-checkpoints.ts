/**
 * Checks and repairs the checkpoints of a running or shut off guest, by its name. Also asks libvirt for its
 * verdict.
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
import { chooseDisks, type Domain, type DomainAddress, openDomain, withoutReadOnly } from './open-domain.ts';
import { repairRunning } from './repair-checkpoints.ts';

/** libvirt's verdict on a checkpoint of a running guest. */
interface LibvirtVerdict {
  readonly checkpoint: string;
  readonly valid: boolean;
  /** Bytes that an incremental backup from it copies; null if libvirt does not report them. */
  readonly dirtyBytes: number | null;
  /** The reason if it is not valid; null otherwise. */
  readonly message: string | null;
  /** libvirt had lost the checkpoint and has now redefined it. */
  readonly redefined: boolean;
}

export interface DomainReport {
  readonly name: string;
  /** libvirt's name of the state, for example "running" or "shut off". */
  readonly state: string;
  /** Targets of the disks in the guest, in the order of the disks in the result. */
  readonly targets: readonly string[];
  /** Disks that cannot have checkpoints. */
  readonly leftOut: readonly { readonly disk: string; readonly reason: string }[];
  /** Empty for a guest that is shut off, since libvirt judges only running guests. */
  readonly verdicts: readonly LibvirtVerdict[];
}

export type DomainCheckResult = CheckResult & { readonly domain: DomainReport };
export type DomainRepairResult = RepairResult & { readonly domain: DomainReport };

/** Reads a running guest through its QEMU, and a guest that is shut off from its images. */
export async function checkDomain(
  address: DomainAddress,
  options: CheckOptions = {},
): Promise<DomainCheckResult> {
  return withDomain(address, options, async (domain, images, all) => {
    const { qemu } = domain;
    const result =
      qemu === undefined ? await checkCheckpoints(images, all) : await checkRunning(qemu, images, all);
    const verdicts = qemu === undefined ? [] : await judgeKnown(domain, await readKnown(all));
    const healthy = result.healthy && verdicts.every(({ valid }) => valid);
    return { ...result, healthy, domain: report(domain, all, verdicts) };
  });
}

/**
 * Makes the checkpoints valid again, and lets libvirt redefine those of `checkpoints` that it had lost.
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
    const checkpoints = (await readKnown(all)).filter(({ name }) => repaired.has(name));
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
  const opened = await openDomain(address);
  const hasRecords = opened.checkpoints.length + (options.checkpoints?.length ?? 0) > 0;
  const domain = hasRecords || options.disks !== undefined ? opened : withoutReadOnly(opened);
  const disks = chooseDisks(domain, options.disks);
  for (const { target, leftOut } of domain.disks) {
    if (leftOut !== undefined && options.disks === undefined) {
      options.onWarning?.(`${domain.name}: disk ${target} is left out: ${leftOut}`);
    }
  }
  const images = disks.map(({ path }) => path);
  const targets = hasRecords ? disks.map(({ target }) => target) : undefined;
  return work(domain, images, { ...options, documents: domain.checkpoints, disks: targets });
}

async function readKnown({ checkpoints, documents }: DomainOptions): Promise<StoredCheckpoint[]> {
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

/** `virsh checkpoint-dumpxml --size` checks every bitmap and reports the bytes that a backup would copy. */
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
      message: answer.ok ? (sizes.length > 0 ? null : 'libvirt finds no valid bitmap of it') : answer.message,
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

/** virsh reads XML only from files. */
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
