/**
 * Reads the checkpoints of disks that libvirt or a backup program has recorded.
 */
import { RefusedError, UsageError } from '../../errors.ts';
import { counted } from '../../text/counted.ts';
import { inNaturalOrder } from '../../text/natural-order.ts';
import type { ChainImage } from '../chain/chain-images.ts';
import type { CheckpointDisk } from '../checkpoint.ts';
import {
  type CheckpointXml,
  type ReadCheckpointsOptions,
  readCheckpoints,
  type StoredCheckpoint,
} from '../xml/read-checkpoints.ts';
import type { KnownCheckpoint } from './choose-checkpoints.ts';
import { fileIdentities } from './file-identities.ts';
import { type DiskMatch, matchDisks } from './match-disks.ts';
import { originEvidence } from './origin-evidence.ts';

export interface CheckpointFiles {
  /** XML files as `virsh checkpoint-dumpxml` prints them, or folders of such files. */
  readonly checkpoints?: readonly string[] | undefined;
  /** Checkpoints that libvirt itself has reported. */
  readonly documents?: readonly CheckpointXml[] | undefined;
  /** Names of the disks in the checkpoints, such as the target vda. One for each image, in their order. */
  readonly disks?: readonly string[] | undefined;
}

export interface CheckpointRecords {
  /**
   * The checkpoints that cover each disk, parents first. Warns about checkpoints that certainly belong to
   * other disks. Also warns about other disks that the checkpoints cover.
   *
   * @param chains of all disks that the operation is about, in the order of `disks`
   * @throws RefusedError when a disk is not in any checkpoint, or when its match with a checkpoint is
   * uncertain
   */
  of(chains: readonly (readonly ChainImage[])[]): Promise<KnownCheckpoint[][]>;
}

/** @returns undefined when no checkpoints are given: only the chains are known then */
export async function readRecords(
  { checkpoints: paths = [], documents = [], disks }: CheckpointFiles,
  imageCount: number,
  options: ReadCheckpointsOptions,
): Promise<CheckpointRecords | undefined> {
  if (paths.length + documents.length === 0) {
    if (disks === undefined || disks.length === 0) return undefined;
    throw new UsageError('names of disks are given, but no checkpoints that use them');
  }
  if (disks !== undefined && disks.length !== imageCount) {
    throw new UsageError(
      `${counted(disks.length, 'name of a disk', 'names of disks')} for ${counted(imageCount, 'image')}: name one for each image, in their order`,
    );
  }
  const stored = await readCheckpoints(paths, options, documents);
  return {
    async of(chains) {
      const identityOf = fileIdentities();
      const images = chains.map((chain, index) => ({
        paths: chain.map(({ layer }) => layer.path),
        disk: disks?.[index],
      }));
      const matches = await matchDisks(stored, images, identityOf);
      const known: KnownCheckpoint[][] = [];
      for (const [index, chain] of chains.entries()) {
        const path = images[index]!.paths[0]!;
        refuseDoubt(path, chain, matches[index]!, stored, disks?.[index]);
        const own: KnownCheckpoint[] = [];
        for (const [position, match] of matches[index]!.entries()) {
          if (match.kind !== 'disk') {
            options.onWarning?.(`${path}: left out: ${match.reason}`);
          } else if (match.disk.checkpoint === 'bitmap') {
            const { name, parent } = stored[position]!;
            own.push({ name, parent, origin: await originEvidence(match.disk, chain, identityOf) });
          }
        }
        known.push(own);
      }
      const met = new Set(
        matches
          .flat()
          .flatMap((match) =>
            match.kind === 'disk' && match.disk.checkpoint === 'bitmap' ? [match.disk] : [],
          ),
      );
      for (const checkpoint of stored) warnOfOthers(checkpoint, met, options);
      return known;
    },
  };
}

function targetsOf(stored: readonly StoredCheckpoint[]): string[] {
  const targets = stored.flatMap(({ disks }) => disks.flatMap(({ target }) => target ?? []));
  return [...new Set(targets)].sort(inNaturalOrder);
}

/** A checkpoint that is silently left out may belong to this disk. It would then be lost. */
function refuseDoubt(
  path: string,
  chain: readonly ChainImage[],
  matches: readonly DiskMatch[],
  stored: readonly StoredCheckpoint[],
  said: string | undefined,
): void {
  const reasonOf = (match: DiskMatch | undefined) =>
    match === undefined || match.kind === 'disk' ? undefined : match.reason;
  const doubt = matches.find(
    ({ kind }, position) =>
      kind === 'unclear' ||
      // Its image has moved: only this explains a bitmap of that name here.
      (kind === 'other' &&
        said === undefined &&
        chain.some(({ bitmaps }) => bitmaps.has(stored[position]!.name))),
  );
  const isNone = matches.every(({ kind }) => kind !== 'disk');
  const reason = reasonOf(doubt) ?? (isNone ? reasonOf(matches[0]) : undefined);
  if (reason === undefined) return;
  throw new RefusedError('INVALID_CHECKPOINT', `${path}: not a disk of these checkpoints: ${reason}`, {
    remedy: { kind: 'name-disk', disks: targetsOf(stored), said },
    context: { file: path },
  });
}

function warnOfOthers(
  { name, disks }: StoredCheckpoint,
  met: ReadonlySet<CheckpointDisk>,
  { onWarning }: ReadCheckpointsOptions,
): void {
  const others = disks.filter((disk) => disk.checkpoint === 'bitmap' && !met.has(disk));
  if (others.length === 0 || !disks.some((disk) => met.has(disk))) return;
  const list = others.map((disk) => disk.target ?? disk.name).join(', ');
  onWarning?.(`checkpoint "${name}" covers ${list} too, and is valid only if those disks are in order`);
}
