/**
 * bitmap-tool repair
 */
import type { RepairedBitmap } from '../../checkpoint/repair/image-repair.ts';
import { type DirectoryRepairResult, repairDirectory } from '../../operations/bitmaps/repair-directory.ts';
import { repairCheckpoints } from '../../operations/checkpoints/repair-checkpoints.ts';
import type {
  RepairedDisk,
  RepairedImage,
  RepairOptions,
  RepairResult,
} from '../../operations/checkpoints/repair-result.ts';
import type { DomainReport } from '../../operations/running/running.ts';
import type { Remedy } from '../../remedy.ts';
import { counted } from '../../text/counted.ts';
import { printable } from '../../text/printable.ts';
import { formatSize } from '../../text/size.ts';
import { CHECKPOINT_OPTIONS, type CheckpointFlags, checkpointFilesOf } from '../checkpoint-options.ts';
import { color } from '../color.ts';
import type { CommandDefinition } from '../command.ts';
import { WRITING_OPTIONS, type WritingOptions } from '../common-options.ts';
import { CommandLineError, DONE, PROBLEMS } from '../errors.ts';
import type { Invoke } from '../invocation.ts';
import { FILE, FREE } from '../option.ts';
import { print } from '../output.ts';
import { changeCell, SIZE_COLUMNS, sizeCells } from '../print/bitmap-columns.ts';
import { domainTitle, domainVerdicts } from '../print/domain.ts';
import { describePlan, describeRunning } from '../print/plan.ts';
import { resultJson } from '../print/result-json.ts';
import { type Cell, table } from '../print/table.ts';
import { DOMAIN_OPTIONS, type DomainFlags, requireOneWay, withQemu } from '../qemu-option.ts';

interface RepairFlags extends WritingOptions, CheckpointFlags, DomainFlags {
  name?: string[];
  origin?: string[];
  against?: string[];
  branch?: string[];
  rebuildOrigin?: boolean;
  enableDisabled?: boolean;
  directory?: boolean;
}

export const repairCommand: CommandDefinition<[string[]], RepairFlags> = {
  arguments: [
    {
      usage: '[image...]',
      description: 'the active image of each disk, qcow2 (version 3)',
      completes: FILE,
    },
  ],
  options: [
    ...WRITING_OPTIONS,
    ...CHECKPOINT_OPTIONS,
    ...DOMAIN_OPTIONS,
    {
      flags: '-n, --name <name>',
      description:
        'repair only this checkpoint, repeatable; a checkpoint without a valid bitmap must be named',
      completes: FREE,
      isRepeatable: true,
    },
    {
      flags: '--rebuild-origin',
      description:
        'agree that a broken bitmap of the image in which a checkpoint begins is rebuilt from the allocation of that image',
    },
    {
      flags: '--enable-disabled',
      description: 'agree that disabled bitmaps are enabled and mark everything that their image holds',
    },
    {
      flags: '--origin <image>',
      description:
        'the image that was active when the checkpoint was made, if the chain has no bitmap of it; repeatable, one for a disk',
      completes: FILE,
      isRepeatable: true,
    },
    {
      flags: '--against <backup>',
      description:
        'make a broken or lost bitmap from what differs from the backup of its checkpoint, qcow2 or raw; one for each image, in their order',
      completes: FILE,
      isRepeatable: true,
    },
    {
      flags: '--branch <image>',
      description:
        'the image that was active before the guest went back to a snapshot: the data of its images above this chain counts as changed; repeatable, one for a disk',
      completes: FILE,
      isRepeatable: true,
    },
    {
      flags: '--directory',
      description:
        'only repair the bitmap directory of an image so that QEMU opens it again, and free leaked clusters',
    },
  ],
  examples: [
    'bitmap-tool repair disk.qcow2',
    'bitmap-tool repair --dry-run vda.qcow2 vdb.qcow2',
    'bitmap-tool repair --name c1 --rebuild-origin disk.qcow2',
    'bitmap-tool repair --checkpoints backup/checkpoints disk.qcow2',
    'bitmap-tool repair --checkpoints checkpoints --name c3 --against backup-of-c3.qcow2 disk.qcow2',
    'bitmap-tool repair --checkpoints checkpoints --branch disk.s1 disk.s2',
    'bitmap-tool repair --directory base.qcow2',
    'bitmap-tool repair --domain vm1',
  ],
  notes:
    'Exit code: 0 all checkpoints are valid, 3 some checkpoints that may be broken were not repaired, 4 a safe repair is not possible.',
  async run([images], flags, { invoke, hintFor }) {
    if (flags.directory) {
      await repairDirectories(images, flags, invoke, hintFor);
      return DONE;
    }
    requireOneWay(images, flags);
    const { name: names, origin: origins, against, branch: branches } = flags;
    const { rebuildOrigin, enableDisabled, dryRun } = flags;
    const result = await invoke(flags, (common) => {
      const all = {
        ...common,
        ...checkpointFilesOf(flags),
        names,
        origins,
        against,
        branches,
        rebuildOrigin,
        enableDisabled,
        dryRun,
      };
      return repair(images, all, flags);
    });
    if (!flags.quiet) await print(flags.json ? resultJson(result, hintFor) : describe(result));
    const isUnfinished =
      result.disks.some(({ unclear, absent }) => unclear.length + absent.length > 0) ||
      result.domain?.verdicts.some(({ valid }) => !valid) === true;
    return isUnfinished ? PROBLEMS : DONE;
  },
};

type Repaired = RepairResult & { readonly domain?: DomainReport };

async function repair(
  images: readonly string[],
  options: RepairOptions,
  { qmp, domain, connect }: DomainFlags,
): Promise<Repaired> {
  if (domain !== undefined) {
    const { repairDomain } = await import('../../operations/running/running.ts');
    return repairDomain({ domain, connect }, options);
  }
  if (qmp === undefined) return repairCheckpoints(images, options);
  return withQemu(qmp, (qemu, { repairRunning }) => repairRunning(qemu, images, options));
}

async function repairDirectories(
  images: readonly string[],
  flags: RepairFlags,
  invoke: Invoke,
  hintFor: (remedy: Remedy) => string,
): Promise<void> {
  const { name, origin, against, branch, rebuildOrigin, enableDisabled } = flags;
  const { checkpoints, disk, qmp, domain, dryRun } = flags;
  const others = [
    name,
    origin,
    against,
    branch,
    rebuildOrigin,
    enableDisabled,
    checkpoints,
    disk,
    qmp,
    domain,
  ];
  if (others.some((value) => value !== undefined) || images.length !== 1) {
    throw new CommandLineError(
      '--directory repairs the bitmaps of one image, and takes no options about checkpoints',
      'Repair the directories first, one by one, and then the checkpoints of the chain.',
    );
  }
  const result = await invoke(flags, (common) => repairDirectory(images[0]!, { ...common, dryRun }));
  if (flags.quiet) return;
  await print(flags.json ? resultJson(result, hintFor) : describeDirectory(result));
}

const FATE_WORDS: Readonly<Record<DirectoryRepairResult['bitmaps'][number]['fate'], string>> = {
  kept: 'kept',
  trimmed: 'kept, without the bits past the end of the disk',
  'marked-in-use': 'kept by name, marked in-use: its content cannot be trusted',
  dropped: 'dropped',
};

function describeDirectory(result: DirectoryRepairResult): string {
  const { image, dryRun, wasUnopenable, problems, bitmaps, leakedClusters, leakedBytes, plan } = result;
  const path = printable(image);
  if (plan === null) return `${path}: nothing to repair in its bitmaps\n`;
  const openness = wasUnopenable ? `${dryRun ? 'QEMU would open' : 'QEMU opens'} it again` : 'done';
  const lines = [
    ...problems.map(({ message }) => `  found: ${printable(message)}\n`),
    ...bitmaps.map((bitmap) => `  ${nameOf(bitmap)}: ${FATE_WORDS[bitmap.fate]}\n`),
    ...(leakedClusters === 0
      ? []
      : [
          `  ${dryRun ? 'would free' : 'freed'} ${counted(leakedClusters, 'leaked cluster')} (${formatSize(leakedBytes)})\n`,
        ]),
  ];
  return `${path}: ${color.green(openness)}\n${lines.join('')}${describePlan(plan, dryRun)}`;
}

function nameOf({ name }: DirectoryRepairResult['bitmaps'][number]): string {
  if (name === null) return '(unreadable name)';
  return name === '' ? '(empty name)' : printable(name);
}

function describe({ disks, dryRun, domain }: Repaired): string {
  const described = disks.map((disk) => describeDisk(disk, dryRun)).join('\n');
  return `${domainTitle(domain)}${described}${domainVerdicts(domain)}`;
}

function describeDisk(disk: RepairedDisk, dryRun: boolean): string {
  const { checkpoints, images } = disk;
  const image = printable(disk.image);
  if (checkpoints.length === 0) return `${image}: no checkpoint to repair in its chain\n`;
  const broken = checkpoints.filter(({ wasValid }) => !wasValid).map(({ name }) => printable(name));
  if (broken.length === 0) {
    const names = checkpoints.map(({ name }) => printable(name)).join(', ');
    return `${image}: nothing to repair: ${names} ${checkpoints.length === 1 ? 'is' : 'are'} valid in the whole chain\n`;
  }
  const done = dryRun ? 'would be valid again' : color.green('valid again');
  return `${image}: ${done}: ${broken.join(', ')}\n${images.map((each) => describeImage(each, disk, dryRun)).join('')}`;
}

function describeImage(
  { image, bitmaps, plan }: RepairedImage,
  { virtualSize }: RepairedDisk,
  dryRun: boolean,
): string {
  if (bitmaps.every(({ action }) => action === 'keep')) return `${printable(image)}: stays as it is\n`;
  const rows = bitmaps.map((bitmap) => [
    `  ${printable(bitmap.name)}`,
    actionOf(bitmap, dryRun),
    ...sizeCells(bitmap, virtualSize),
    formatSize(bitmap.addedBytes),
  ]);
  const columns = [
    { title: '  bitmap' },
    { title: '' },
    ...SIZE_COLUMNS,
    { title: 'newly marked', align: 'right' },
  ] as const;
  return `${printable(image)}\n${table(columns, rows)}${plan === null ? describeRunning(dryRun) : describePlan(plan, dryRun)}`;
}

const ACTION_WORDS: Readonly<Record<RepairedBitmap['action'], string>> = {
  keep: 'kept',
  add: 'added',
  'top-up': 'topped up',
  rebuild: 'rebuilt',
  enable: 'enabled',
};

function actionOf({ action }: RepairedBitmap, dryRun: boolean): Cell {
  const word = ACTION_WORDS[action];
  if (action === 'keep') return word;
  return changeCell(word, dryRun);
}
