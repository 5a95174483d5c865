/**
 * bitmap-tool check
 */
import {
  type CheckOptions,
  type CheckResult,
  checkCheckpoints,
} from '../../operations/checkpoints/check-checkpoints.ts';
import type {
  CheckedCheckpoint,
  CheckedDisk,
  CheckedImage,
} from '../../operations/checkpoints/check-disk.ts';
import type { DomainReport } from '../../operations/running/running.ts';
import type { Remedy } from '../../remedy.ts';
import { nameRange } from '../../text/name-range.ts';
import { printable } from '../../text/printable.ts';
import { shellPath } from '../../text/shell-word.ts';
import { formatSize } from '../../text/size.ts';
import { CHECKPOINT_OPTIONS, type CheckpointFlags, checkpointFilesOf } from '../checkpoint-options.ts';
import { color } from '../color.ts';
import type { CommandDefinition } from '../command.ts';
import { COMMON_OPTIONS, type CommonOptions } from '../common-options.ts';
import { DONE, PROBLEMS } from '../errors.ts';
import { FILE } from '../option.ts';
import { print } from '../output.ts';
import { domainTitle, domainVerdicts } from '../print/domain.ts';
import { resultJson } from '../print/result-json.ts';
import { type Cell, table } from '../print/table.ts';
import { callOf, DOMAIN_OPTIONS, type DomainFlags, requireOneWay, withQemu } from '../qemu-option.ts';
import { inOrder, type RepairWay, repairCommand, tighterCommand } from '../remedy/checkpoint-words.ts';

export const checkCommand: CommandDefinition<[string[]], CommonOptions & CheckpointFlags & DomainFlags> = {
  arguments: [{ usage: '[image...]', description: 'the active image of each disk', completes: FILE }],
  options: [...COMMON_OPTIONS, ...CHECKPOINT_OPTIONS, ...DOMAIN_OPTIONS],
  examples: [
    'bitmap-tool check disk.qcow2',
    'bitmap-tool check --json vda.qcow2 vdb.qcow2',
    'bitmap-tool check --checkpoints c1.xml --disk vda disk.qcow2',
    'bitmap-tool check --domain vm1',
  ],
  notes: 'Exit code: 0 nothing to do, 3 problems found.',
  async run([images], options, { invoke, hintFor }) {
    requireOneWay(images, options);
    const result = await invoke(options, (common) =>
      check(images, { ...common, ...checkpointFilesOf(options) }, options),
    );
    const { checkpoints = [], disk: named = [] } = options;
    const active = result.disks.map(({ image }) => image);
    const targets = result.domain?.targets ?? named;
    const way = {
      isRunning: options.qmp !== undefined || (result.domain?.state ?? SHUT_OFF) !== SHUT_OFF,
      guest: callOf(options) ?? [],
      options: checkpoints.flatMap((path) => ['--checkpoints', shellPath(path)]),
      active,
      isWholeGuest: result.domain !== undefined && named.length === 0,
      disks: new Map(
        active.flatMap((image, index) => (targets[index] === undefined ? [] : [[image, targets[index]]])),
      ),
    };
    if (!options.quiet)
      await print(options.json ? resultJson(result, hintFor, way) : describe(result, hintFor, way));
    return result.healthy ? DONE : PROBLEMS;
  },
};

/** libvirt's name of the state. */
const SHUT_OFF = 'shut off';

type HintFor = (remedy: Remedy) => string;

type Checked = CheckResult & { readonly domain?: DomainReport };

async function check(
  images: readonly string[],
  options: CheckOptions,
  { qmp, domain, connect }: DomainFlags,
): Promise<Checked> {
  if (domain !== undefined) {
    const { checkDomain } = await import('../../operations/running/running.ts');
    return checkDomain({ domain, connect }, options);
  }
  if (qmp === undefined) return checkCheckpoints(images, options);
  return withQemu(qmp, (qemu, { checkRunning }) => checkRunning(qemu, images, options));
}

function describe({ disks, domain }: Checked, hintFor: HintFor, way: RepairWay): string {
  const described = disks.map((disk) => describeDisk(disk, hintFor)).join('\n');
  return `${domainTitle(domain)}${described}${adviceLines(disks, way)}${domainVerdicts(domain)}`;
}

function describeDisk(disk: CheckedDisk, hintFor: HintFor): string {
  const { images, virtualSize, checkpoints } = disk;
  const title = `${images.map(({ image }) => printable(image)).join(' ← ')} (${formatSize(virtualSize)})`;
  const list =
    checkpoints.length === 0 ? `${title}: no checkpoints\n` : `${title}\n${describeAll(checkpoints)}`;
  return [
    list,
    ...checkpointFindings(checkpoints),
    ...imageFindings(disk, hintFor),
    ...unknownFinding(disk),
  ].join('');
}

/** Merges findings that are the same for several checkpoints. */
function checkpointFindings(checkpoints: readonly CheckedCheckpoint[]): string[] {
  const alike = new Map<string, string[]>();
  for (const { name, problems } of checkpoints) {
    for (const { message } of problems) {
      const shape = message.replaceAll(`"${name}"`, NAME_PLACE);
      alike.set(shape, [...(alike.get(shape) ?? []), name]);
    }
  }
  return Array.from(alike, ([shape, names]) =>
    finding(
      'error',
      shape.replaceAll(NAME_PLACE, () => nameRange(names)),
    ),
  );
}

/** Placeholder for the name of a checkpoint. Messages never contain a zero byte. */
const NAME_PLACE = '\0';

/** Lists each call once, even if several disks or checkpoints need the same call. */
function adviceLines(disks: readonly CheckedDisk[], way: RepairWay): string {
  const calls = disks.flatMap(({ checkpoints }) => checkpoints.flatMap(({ advice }) => advice ?? []));
  const lines = inOrder(calls, way.active ?? []).map((call) => {
    const tighter = tighterCommand(call, way);
    const other =
      tighter === undefined
        ? ''
        : `  or, exactly, from the backup of the checkpoint: ${printable(tighter)}\n`;
    return `→ ${printable(repairCommand(call, way))}\n${other}`;
  });
  return [...new Set(lines)].join('');
}

function unknownFinding({ image, unknown }: CheckedDisk): string[] {
  if (unknown.length === 0) return [];
  const names = unknown.map(printable).join(', ');
  return [finding('note', `${image}: bitmaps that no checkpoint on file has: ${names}`)];
}

function describeAll(checkpoints: readonly CheckedCheckpoint[]): string {
  const columns = [
    { title: '  checkpoint' },
    { title: '' },
    { title: 'bitmaps, from the top down' },
    { title: 'a backup copies', align: 'right' },
  ] as const;
  const rows = inRuns(checkpoints).map(([first, ...more]): Cell[] => [
    `  ${printable(first.name)}${more.length === 0 ? '' : ` … ${printable(more.at(-1)!.name)} (${more.length + 1})`}`,
    verdictOf(first),
    statesOf(first),
    first.dirtyBytes === null ? '-' : formatSize(first.dirtyBytes),
  ]);
  return table(columns, rows);
}

/** Puts many consecutive broken checkpoints into one row if they look the same. */
function inRuns(checkpoints: readonly CheckedCheckpoint[]): [CheckedCheckpoint, ...CheckedCheckpoint[]][] {
  const runs: [CheckedCheckpoint, ...CheckedCheckpoint[]][] = [];
  const lookOf = (each: CheckedCheckpoint) =>
    JSON.stringify([each.valid, each.libvirt, each.dirtyBytes, statesOf(each)]);
  for (const checkpoint of checkpoints) {
    const run = runs.at(-1);
    if (run !== undefined && lookOf(run[0]) === lookOf(checkpoint)) run.push(checkpoint);
    else runs.push([checkpoint]);
  }
  return runs.flatMap((run) =>
    run[0].valid === false && run.length > MOST_ROWS_ALIKE
      ? [run]
      : run.map((each): [CheckedCheckpoint] => [each]),
  );
}

const MOST_ROWS_ALIKE = 4;

type Severity = CheckedImage['problems'][number]['severity'];

function finding(severity: Severity, message: string): string {
  return `${markOf(severity)} ${printable(message)}\n`;
}

function markOf(severity: Severity): string {
  switch (severity) {
    case 'error':
      return color.red('✗');
    case 'warning':
      return color.yellow('!');
    case 'note':
      return '·';
  }
}

/** Problems that are not listed for a checkpoint, each with its hint. */
function imageFindings({ images, checkpoints }: CheckedDisk, hintFor: HintFor): string[] {
  const judged = new Set(checkpoints.map(({ name }) => name));
  return images.flatMap(({ image, problems }) =>
    problems
      .filter(({ code, bitmap }) => code !== 'in-use' || bitmap === undefined || !judged.has(bitmap))
      .map(({ severity, message, remedy }) => {
        const said = message.startsWith(image) ? message : `${image}: ${message}`;
        return `${finding(severity, said)}${remedy === undefined ? '' : `    ${printable(hintFor(remedy))}\n`}`;
      }),
  );
}

function verdictOf({ valid, libvirt, dirtyBytes }: CheckedCheckpoint): Cell {
  if (valid) return { text: 'valid', paint: color.green };
  if (valid === null) return 'unknown (image in use)';
  if (libvirt === 'refuses') return { text: 'refused by libvirt', paint: color.red };
  const text = dirtyBytes === null ? 'a backup fails' : 'a backup loses changes';
  return { text, paint: color.red };
}

/** For example "missing, good ×2". */
function statesOf({ bitmaps }: CheckedCheckpoint): string {
  const runs: { state: string; count: number }[] = [];
  for (const { state, missingBytes } of bitmaps) {
    const shown = missingBytes > 0 ? 'incomplete' : state;
    const last = runs.at(-1);
    if (last?.state === shown) last.count++;
    else runs.push({ state: shown, count: 1 });
  }
  return runs.map(({ state, count }) => (count === 1 ? state : `${state} ×${count}`)).join(', ');
}
