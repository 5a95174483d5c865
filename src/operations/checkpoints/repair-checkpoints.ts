/**
 * Makes the checkpoints of whole backing chains valid again.
 */
import { allLayers, type Chain } from '../../chain/chain.ts';
import { type ChainImage, readChainImages } from '../../checkpoint/chain/chain-images.ts';
import { checkpointNamesOf, type KnownCheckpoint } from '../../checkpoint/known/choose-checkpoints.ts';
import { type CheckpointRecords, readRecords } from '../../checkpoint/known/known-checkpoints.ts';
import type { DiskRepair } from '../../checkpoint/repair/chain-repair.ts';
import type { ImageRepair } from '../../checkpoint/repair/image-repair.ts';
import { orderWrites } from '../../checkpoint/repair/order-writes.ts';
import { RefusedError, UsageError } from '../../errors.ts';
import type { Consent } from '../../remedy.ts';
import { counted } from '../../text/counted.ts';
import { nameRange } from '../../text/name-range.ts';
import { formatSize } from '../../text/size.ts';
import { refuseForceShare, reportPlan } from '../change-bitmaps.ts';
import { writeInTurn } from '../write-in-turn.ts';
import { openChainsToChange } from './open-chains.ts';
import { planDiskRepairs } from './plan-disk-repairs.ts';
import type { RepairedDisk, RepairOptions, RepairResult } from './repair-result.ts';

const INTERRUPTION = {
  words: 'repaired before that',
  key: 'repaired',
  remedy: { kind: 'repair-again' },
} as const;

/**
 * Plans the repair of all disks, then writes unless it is a dry run. Each image is written in one commit. The
 * order ensures that libvirt accepts no checkpoint before its repair is complete.
 *
 * @param imageNames the active image of each disk
 * @throws RefusedError when a checkpoint cannot be repaired, or consent is missing; nothing was written then
 * @throws FailedError when a write fails; the message lists the images that were repaired before
 */
export async function repairCheckpoints(
  imageNames: readonly string[],
  options: RepairOptions = {},
): Promise<RepairResult> {
  refuseForceShare(options);
  if (options.against !== undefined && options.against.length !== imageNames.length) {
    throw new UsageError(
      `${counted(options.against.length, 'backup')} for ${counted(imageNames.length, 'image')}: name one for each image, in their order`,
    );
  }
  const records = await readRecords(options, imageNames.length, options);
  const chains: Chain[] = [];
  try {
    await openChainsToChange(imageNames, options, chains);
    const chainImages: ChainImage[][] = [];
    for (const chain of chains) chainImages.push(await readChainImages(chain));
    const { disks, everywhere } = await planRepairs(chains, chainImages, records, options);
    const writes = disks.flatMap(({ images }) => orderWrites(images));
    await refuseSharedWrites(chains, writes);
    options.signal?.throwIfAborted();
    const planned = writes.map(({ layer, plan }) => ({ layer, plan: plan! }));
    if (!options.dryRun) await writeInTurn(planned, INTERRUPTION, options);
    return {
      schema: 1,
      dryRun: options.dryRun === true,
      disks: disks.map((disk) => reportRepair(disk, everywhere, options)),
    };
  } finally {
    await Promise.all(chains.map((chain) => chain.close()));
  }
}

export interface PlannedRepairs {
  readonly disks: readonly DiskRepair[];
  /** Names of checkpoints that should be on every disk. */
  readonly everywhere: readonly string[];
}

/**
 * @param chainImages the images of each chain, top first
 * @throws RefusedError when a checkpoint cannot be repaired, or consent is missing
 */
export async function planRepairs(
  chains: readonly Chain[],
  chainImages: readonly (readonly ChainImage[])[],
  records: CheckpointRecords | undefined,
  options: RepairOptions,
): Promise<PlannedRepairs> {
  const known = await records?.of(chainImages);
  const disks = await planDiskRepairs(chains, chainImages, known, options);
  const isRunning = chainImages.some((images) => images.some(({ running }) => running !== undefined));
  requireConsent(disks, isRunning, options);
  // Without XML, a checkpoint of one disk counts as a checkpoint of all disks.
  const everywhere =
    known === undefined && options.names === undefined && chainImages.length > 1
      ? checkpointNamesOf(chainImages)
      : [];
  return { disks, everywhere };
}

const CONSENT_WORDS: Readonly<Record<Consent, { found: string; made: string }>> = {
  'rebuild-origin': {
    found: 'is broken or missing in the image in which the checkpoint begins',
    made: 'rebuilt from the allocation of that image it would mark',
  },
  'enable-disabled': {
    found: 'is disabled',
    made: 'enabled and topped up with the allocation of the image it would mark',
  },
};

/**
 * The path may now be that of another image: an image can be moved and replaced by an overlay at the same
 * path.
 */
const GOES_BY_PATH = ' (going by the path in its XML)';

function requireConsent(
  disks: readonly DiskRepair[],
  isRunning: boolean,
  { rebuildOrigin, enableDisabled }: RepairOptions,
): void {
  const given = { 'rebuild-origin': rebuildOrigin === true, 'enable-disabled': enableDisabled === true };
  const wanting = disks.flatMap(({ chain, images, chosen }) =>
    images.flatMap(({ layer, bitmaps }, index) =>
      bitmaps.flatMap(({ name, action, consent, dirtyBytes }) => {
        if (consent === null || given[consent]) return [];
        const { found, made } = CONSENT_WORDS[consent];
        const goesByPath = action === 'add' && isByPath(chosen, name);
        const text = `${found}${goesByPath ? GOES_BY_PATH : ''}; ${made} ${formatSize(dirtyBytes)} of ${formatSize(chain.top.virtualSizeBytes)}`;
        const isOrigin = !images.slice(index + 1).some((below) => hasBitmap(below, name));
        return [{ consent, goesByPath, isOrigin, path: layer.path, name, text }];
      }),
    ),
  );
  if (wanting.length === 0) return;
  // Report the same text for many checkpoints only once.
  const alike = new Map<string, string[]>();
  for (const { path, text, name } of wanting) {
    const shape = JSON.stringify([path, text]);
    alike.set(shape, [...(alike.get(shape) ?? []), name]);
  }
  const sentences = Array.from(alike, ([shape, names]) => {
    const [path, text] = JSON.parse(shape) as [string, string];
    return `${path}: bitmap ${nameRange(names)} ${text}`;
  });
  throw new RefusedError('NEEDS_CONSENT', sentences.join('; '), {
    remedy: {
      kind: 'give-consent',
      consents: distinct(wanting.map(({ consent }) => consent)),
      goesByPath: wanting.some((each) => each.goesByPath),
      diskCount: disks.length,
      isRunning,
      comparable: {
        names: onAllDisks(
          disks,
          wanting.filter(({ isOrigin }) => isOrigin).map(({ name }) => name),
        ),
        consents: distinct(wanting.filter(({ isOrigin }) => !isOrigin).map(({ consent }) => consent)),
      },
      others: onAllDisks(disks, brokenNames(disks)).filter(
        (each) => !wanting.some(({ name }) => name === each),
      ),
    },
    context: { file: disks[0]!.chain.top.path },
  });
}

function hasBitmap({ bitmaps }: ImageRepair, name: string): boolean {
  return bitmaps.some((bitmap) => bitmap.name === name);
}

/** Names of the chosen checkpoints that are not valid on some disk. */
function brokenNames(disks: readonly DiskRepair[]): string[] {
  const broken = disks.flatMap(({ chosen, wasValid }) => chosen.filter((_, position) => !wasValid[position]));
  return broken.map(({ name }) => name);
}

/** A call that names a checkpoint takes only disks that have it. */
function onAllDisks(disks: readonly DiskRepair[], names: readonly string[]): string[] {
  const isEverywhere = (name: string) =>
    disks.every(({ chosen }) => chosen.some((checkpoint) => checkpoint.name === name));
  return distinct(names.filter(isEverywhere));
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function isByPath(chosen: readonly KnownCheckpoint[], name: string): boolean {
  return chosen.some(
    (each) => each.name === name && each.origin.kind === 'in-chain' && !each.origin.isCertain,
  );
}

/**
 * An image in two chains would be planned twice and written twice from the same state. Also, each chain's
 * reader keeps the image from being written.
 */
async function refuseSharedWrites(chains: readonly Chain[], writes: readonly ImageRepair[]): Promise<void> {
  if (chains.length < 2) return;
  const layers = (await Promise.all(chains.map(allLayers))).flat();
  const identities = layers.map(({ storage }) => storage.identity);
  const shared = writes.find(
    ({ layer }) => identities.filter((each) => each === layer.storage.identity).length > 1,
  );
  if (shared === undefined) return;
  const { path } = shared.layer;
  throw new RefusedError(
    'UNSUPPORTED',
    `${path}: is part of the chains of two of the disks and would be changed`,
    {
      remedy: { kind: 'repair-disks-separately' },
      context: { file: path },
    },
  );
}

/** @param everywhere names of checkpoints that should be on every disk */
export function reportRepair(
  disk: DiskRepair,
  everywhere: readonly string[],
  { dryRun, onWarning }: RepairOptions,
): RepairedDisk {
  const { chain, chosen, wasValid, images, unclear, unknown } = disk;
  const { path } = chain.top;
  for (const name of unclear) {
    onWarning?.(`${path}: "${name}" was not repaired, because its topmost bitmap is not valid`, {
      kind: 'confirm-checkpoint',
      name,
    });
  }
  const own = new Set([...chosen.map(({ name }) => name), ...unclear]);
  const absent = everywhere.filter((name) => !own.has(name));
  for (const name of absent) {
    onWarning?.(
      `${path}: no image of the chain has a bitmap "${name}", but the chain of another disk has one`,
      {
        kind: 'repair-on-this-disk',
        name,
        image: path,
        origin: chain.top.backing === undefined ? path : undefined,
      },
    );
  }
  for (const name of unknown) onWarning?.(`${path}: "${name}" was not repaired: no checkpoint has that name`);
  return {
    image: path,
    virtualSize: chain.top.virtualSizeBytes,
    checkpoints: chosen.map(({ name }, position) => ({ name, wasValid: wasValid[position]! })),
    images: images.map(({ layer, bitmaps, plan }) => ({
      image: layer.path,
      bitmaps,
      plan: plan === undefined ? null : reportPlan(layer.image, plan, dryRun === true),
    })),
    unclear,
    absent,
    unknown,
  };
}
