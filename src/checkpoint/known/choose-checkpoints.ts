/**
 * Chooses the checkpoints of a chain that a check or a repair covers.
 */
import { RefusedError, UsageError } from '../../errors.ts';
import { type ChainImage, namesOf, stateIn } from '../chain/chain-images.ts';
import { isLastingName, isTemporaryName } from '../names.ts';
import type { OriginEvidence } from './origin-evidence.ts';

/** A checkpoint of the disk, as libvirt or a backup program has recorded it. */
export interface KnownCheckpoint {
  readonly name: string;
  readonly parent: string | undefined;
  /** Evidence from its XML about the image that was active when it was made. */
  readonly origin: OriginEvidence;
}

export interface CheckpointChoice {
  /** Parents before children where parents are known. */
  readonly chosen: readonly KnownCheckpoint[];
  /** Names whose topmost bitmap is not valid: it is unknown whether the checkpoint still exists. */
  readonly unclear: readonly string[];
  /** Names of the chain that are not among the known checkpoints. */
  readonly unknown: readonly string[];
}

/**
 * @param names names that a person asks for. If undefined, all known checkpoints are chosen
 * @param known undefined if only the chain is known. A name is then a checkpoint if its topmost bitmap is
 * valid
 */
export function chooseCheckpoints(
  images: readonly ChainImage[],
  names: readonly string[] | undefined,
  known: readonly KnownCheckpoint[] | undefined,
): CheckpointChoice {
  names?.forEach(requireLastingName);
  const present = lastingNames(images);
  if (known !== undefined) {
    const strange = names?.find((name) => !known.some((checkpoint) => checkpoint.name === name));
    if (strange !== undefined) {
      throw new UsageError(`"${strange}": no such checkpoint among the known ones`, {
        remedy: { kind: 'name-existing-checkpoint', names: known.map(({ name }) => name) },
      });
    }
    const isKnown = new Set(known.map(({ name }) => name));
    return {
      chosen: names === undefined ? known : known.filter(({ name }) => names.includes(name)),
      unclear: [],
      unknown: present.filter((name) => !isKnown.has(name)),
    };
  }
  const nameOnly = (name: string): KnownCheckpoint => ({
    name,
    parent: undefined,
    origin: { kind: 'unknown' },
  });
  if (names !== undefined) return { chosen: [...new Set(names)].map(nameOnly), unclear: [], unknown: [] };
  const isClear = (name: string) => topmostState(images, name) === 'good';
  return {
    chosen: present.filter(isClear).map(nameOnly),
    unclear: present.filter((name) => !isClear(name)),
    unknown: [],
  };
}

/** Every name that a checkpoint of one of these chains may have. */
export function checkpointNamesOf(chains: readonly (readonly ChainImage[])[]): string[] {
  return [...new Set(chains.flatMap(lastingNames))];
}

function lastingNames(images: readonly ChainImage[]): string[] {
  return namesOf(images).filter(isLastingName);
}

function topmostState(images: readonly ChainImage[], name: string) {
  return images.map((image) => stateIn(image, name)).find((state) => state !== 'missing');
}

function requireLastingName(name: string): void {
  if (isLastingName(name)) return;
  if (!isTemporaryName(name))
    throw new RefusedError('UNSUPPORTED', `"${name}" is not a checkpoint: none can have this name`);
  throw new RefusedError(
    'UNSUPPORTED',
    `"${name}" is not a checkpoint: a bitmap of this name exists only during a job`,
    { remedy: { kind: 'remove-temporary-bitmap' } },
  );
}
