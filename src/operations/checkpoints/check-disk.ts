/**
 * Checks the checkpoints of one disk: libvirt's verdict on each, and the problems that libvirt does not
 * detect.
 */
import { dirtyBytes } from '../../bitmap/dirty-bitmap.ts';
import { type Chain, reachableLayers } from '../../chain/chain.ts';
import type { Layer } from '../../chain/layer.ts';
import { type BitmapState, isInMemory } from '../../checkpoint/chain/bitmap-state.ts';
import { type ChainImage, lowestHolder, stateIn } from '../../checkpoint/chain/chain-images.ts';
import type { InspectedImage } from '../../checkpoint/chain/inspect-chain-image.ts';
import { uniteBitmaps } from '../../checkpoint/chain/united-bitmap.ts';
import { chooseCheckpoints, type KnownCheckpoint } from '../../checkpoint/known/choose-checkpoints.ts';
import type { OriginEvidence } from '../../checkpoint/known/origin-evidence.ts';
import { isTemporaryName } from '../../checkpoint/names.ts';
import { repairAdvice } from '../../checkpoint/repair/repair-advice.ts';
import { holdingsOf, inspectChain } from '../../checkpoint/verdict/inspect-chain.ts';
import { leftBehind } from '../../checkpoint/verdict/left-behind.ts';
import { type CheckpointProblem, judge } from '../../checkpoint/verdict/verdict.ts';
import type { FailedError, RefusedError } from '../../errors.ts';
import type { Problem } from '../../inspection/problem.ts';
import type { RepairCall } from '../../remedy.ts';
import { nameRange } from '../../text/name-range.ts';
import type { OperationOptions } from '../options.ts';

export interface CheckedBitmap {
  readonly image: string;
  readonly state: BitmapState;
  readonly granularity: number | null;
  /** Bytes of unmarked granules that are at least partly allocated in an image above the origin. */
  readonly missingBytes: number;
}

export interface CheckedCheckpoint {
  readonly name: string;
  /** libvirt's verdict, which is based on names and flags only. `unknown` while a program uses the image. */
  readonly libvirt: 'accepts' | 'refuses' | 'unknown';
  /**
   * libvirt accepts it, and an incremental backup from it is complete. null if a running program has the
   * marks in its memory, since only that program knows.
   */
  readonly valid: boolean | null;
  /** Bytes that an incremental backup from it copies; null if no such backup is possible. */
  readonly dirtyBytes: number | null;
  /** From the top down to the image in which the checkpoint begins. */
  readonly bitmaps: readonly CheckedBitmap[];
  readonly problems: readonly CheckpointProblem[];
  /** The repair for the problems. */
  readonly advice: RepairCall | null;
}

export interface CheckedImage {
  readonly image: string;
  readonly format: 'qcow2' | 'raw';
  readonly virtualSize: number;
  /** Problems of the image itself. */
  readonly problems: readonly Problem[];
}

export interface CheckedDisk {
  readonly image: string;
  readonly virtualSize: number;
  readonly images: readonly CheckedImage[];
  readonly checkpoints: readonly CheckedCheckpoint[];
  /** Names of bitmaps that no known checkpoint has. */
  readonly unknown: readonly string[];
}

export interface ChainToCheck {
  readonly chain: Chain;
  /** Examines the bitmaps of an image of the chain; the topmost is number 0. */
  readonly examine: (layer: Layer, index: number) => Promise<ChainImage>;
}

export interface ExaminedDisk {
  readonly chain: Chain;
  readonly images: readonly ChainImage[];
  /** The problem that ends the chain early, if there is one. */
  readonly problem: Problem | undefined;
}

export async function examineDisk({ chain, examine }: ChainToCheck): Promise<ExaminedDisk> {
  const { layers, error } = await reachableLayers(chain);
  const images: ChainImage[] = [];
  for (const [index, layer] of layers.entries()) images.push(await examine(layer, index));
  return { chain, images, problem: error && brokenChain(error) };
}

/** The problem of an image that cannot be opened. */
function brokenChain({ message, remedy }: RefusedError | FailedError): Problem {
  return {
    code: 'chain-broken',
    severity: 'error',
    message: `the images below cannot be examined: ${message}`,
    ...(remedy === undefined ? {} : { remedy }),
    unopenable: false,
  };
}

/** @param names of checkpoints that other disks have */
export async function checkDisk(
  { chain, images: examined, problem }: ExaminedDisk,
  known: readonly KnownCheckpoint[] | undefined,
  names: readonly string[],
  options: OperationOptions,
): Promise<CheckedDisk> {
  const images = await inspectChain(examined, known ?? [], options);
  const { chosen, unclear, unknown } = chooseCheckpoints(images, undefined, known);
  const own = new Set([...chosen.map(({ name }) => name), ...unclear]);
  const absent = names.filter((name) => !own.has(name));
  const checkpoints: CheckedCheckpoint[] = [];
  for (const { name, origin } of chosen)
    checkpoints.push(await checkCheckpoint(images, name, origin, known !== undefined));
  for (const name of [...unclear, ...absent])
    checkpoints.push(await checkCheckpoint(images, name, { kind: 'unknown' }, false));
  const { path, virtualSizeBytes } = chain.top;
  warnOfIncompleteBackups(path, checkpoints, options);
  return {
    image: path,
    virtualSize: virtualSizeBytes,
    images: images.map((image, index) => ({
      image: image.layer.path,
      format: image.layer.format,
      virtualSize: image.layer.virtualSizeBytes,
      problems: [
        ...image.problems.map((each) => withKnownUse(each, image.layer.path, own)),
        ...leftBehind(image, known ?? []),
        ...(problem !== undefined && index === images.length - 1 ? [problem] : []),
      ],
    })),
    checkpoints,
    unknown,
  };
}

/** The repair of a bitmap in use is that of its checkpoint. A bitmap without a checkpoint can only be removed. */
function withKnownUse(problem: Problem, file: string, checkpoints: ReadonlySet<string>): Problem {
  const { code, bitmap: name } = problem;
  if (code !== 'in-use' || name === undefined || checkpoints.has(name)) return problem;
  const kind = isTemporaryName(name) ? 'remove-bitmap' : 'remove-unknown-in-use';
  return { ...problem, remedy: { kind, file, name } };
}

/**
 * Changes that an accepted bitmap has not recorded are missing from backups, and no later checkpoint adds
 * them.
 */
function warnOfIncompleteBackups(
  path: string,
  checkpoints: readonly CheckedCheckpoint[],
  { onWarning }: OperationOptions,
): void {
  const first = checkpoints.findIndex(({ problems }) =>
    problems.some(({ code }) => code === 'bitmap-incomplete'),
  );
  const younger = checkpoints.slice(first + 1).map(({ name }) => name);
  if (first < 0 || younger.length === 0) return;
  const { name } = checkpoints[first]!;
  onWarning?.(
    `${path}: backups that were made from "${name}" and from younger checkpoints (${nameRange(younger)}) lack what its bitmaps do not mark`,
    { kind: 'back-up-from-checkpoint', name, younger },
  );
}

async function checkCheckpoint(
  images: readonly InspectedImage[],
  name: string,
  origin: OriginEvidence,
  isOnFile: boolean,
): Promise<CheckedCheckpoint> {
  const holdings = holdingsOf(images, name);
  const { accepted, problems } = judge(name, holdings, origin);
  const lowest = lowestHolder(images, name) ?? -1;
  const concerned = images.slice(0, lowest + 1);
  const isKnown = !concerned.some((image) => isInMemory(stateIn(image, name)));
  const canBackUp = accepted && problems.every(({ code }) => code !== 'size-mismatch');
  return {
    name,
    // A bitmap that an earlier crash has left in-use looks the same as one that is recording.
    libvirt: !accepted ? 'refuses' : isKnown ? 'accepts' : 'unknown',
    valid: problems.length > 0 ? false : isKnown ? true : null,
    dirtyBytes: canBackUp ? await backupBytes(concerned, name) : null,
    bitmaps: concerned.map(({ bitmaps }, index) => {
      const { image, state, missingBytes } = holdings[index]!;
      const entry = bitmaps.get(name);
      return {
        image,
        state,
        granularity: entry === undefined ? null : 2 ** entry.granularityBits,
        missingBytes,
      };
    }),
    problems,
    advice: repairAdvice(name, holdings, origin, isOnFile),
  };
}

/** Bytes that the bitmaps of all images mark together, as `virsh checkpoint-dumpxml --size` reports. */
async function backupBytes(images: readonly ChainImage[], name: string): Promise<number | null> {
  if (images.some((image) => stateIn(image, name) !== 'good')) return null;
  return dirtyBytes(await uniteBitmaps(images, name));
}
