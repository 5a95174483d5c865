/**
 * Matches images to the disks of each checkpoint.
 */
import type { Checkpoint, CheckpointDisk } from '../checkpoint.ts';
import type { IdentityOf } from './file-identities.ts';
import { guestsOf } from './guests.ts';

export interface ImageOfDisk {
  /** The images of its chain, top first. Images added after the checkpoint are not in its XML. */
  readonly paths: readonly string[];
  /** The disk as named by a person: its target, or its name in the checkpoint. */
  readonly disk?: string | undefined;
}

export type DiskMatch =
  | { readonly kind: 'disk'; readonly disk: CheckpointDisk }
  /** Certainly no match: the checkpoint covers other disks. */
  | { readonly kind: 'other'; readonly reason: string }
  /** Possibly a match. */
  | { readonly kind: 'unclear'; readonly reason: string };

/**
 * Matches by the name that a person gives, or by the image files, including the backing images of that time.
 * Then matches by the target that the disk has in other checkpoints of the same guest. Never matches by
 * similar names.
 *
 * @returns for each image a match for each checkpoint
 */
export async function matchDisks(
  checkpoints: readonly Checkpoint[],
  images: readonly ImageOfDisk[],
  identityOf: IdentityOf,
): Promise<DiskMatch[][]> {
  const guests = guestsOf(checkpoints);
  const chains = await Promise.all(
    images.map(async ({ paths }) => new Set([...paths, ...(await Promise.all(paths.map(identityOf)))])),
  );
  const isIn = async (path: string | undefined, image: number) =>
    path !== undefined && (chains[image]!.has(path) || chains[image]!.has(await identityOf(path)));

  const found = images.map(() => checkpoints.map((): CheckpointDisk[] => []));
  /** The disks of a checkpoint that are not matched to another image. */
  const open = (image: number, position: number) =>
    checkpoints[position]!.disks.filter((disk) =>
      found.every(
        (each, other) => other === image || each[position]!.length !== 1 || each[position]![0] !== disk,
      ),
    );
  /** Looks only where no disk was found yet. The next pass does not offer a matched disk to other images. */
  const pass = async (look: (disk: CheckpointDisk, image: number, position: number) => Promise<boolean>) => {
    const more = await Promise.all(
      images.map((_, image) =>
        Promise.all(
          checkpoints.map(async (_checkpoint, position) => {
            const before = found[image]![position]!;
            if (before.length > 0) return before;
            const candidates = open(image, position);
            const isFit = await Promise.all(candidates.map((disk) => look(disk, image, position)));
            return candidates.filter((_disk, index) => isFit[index]);
          }),
        ),
      ),
    );
    for (const [image, each] of more.entries()) found[image] = each;
  };

  await pass(async (disk, image) => {
    const { disk: said } = images[image]!;
    if (said === undefined || (disk.target === undefined && disk.name !== said))
      return isIn(disk.source, image);
    return disk.target === said || disk.name === said;
  });
  await pass(async (disk, image) => {
    if (images[image]!.disk !== undefined) return false;
    const below = await Promise.all((disk.backing ?? []).map((path) => isIn(path, image)));
    return below.includes(true);
  });
  const targets = found.map((each, image) => targetsByGuest(checkpoints, each, guests, images[image]!));
  await pass(async ({ target }, image, position) => {
    const known = targets[image]!.get(guests[position]);
    return target !== undefined && known?.own.has(target) === true;
  });
  return images.map((image, index) =>
    checkpoints.map((checkpoint, position) => {
      const [disk, ...more] = found[index]![position]!;
      if (disk !== undefined && more.length === 0) return { kind: 'disk', disk };
      const { name } = checkpoint;
      if (disk !== undefined)
        return unclear(`its chain holds several disks of checkpoint "${name}": ${list([disk, ...more])}`);
      const guest = guests[position];
      const known = targets[index]!;
      return unmatched(checkpoint, image, {
        // The other checkpoints are better evidence.
        isOnly: images.length === 1 && known.size === 0,
        isOfOtherGuest: guest !== undefined && known.size > 0 && !known.has(guest),
        others: known.get(guest)?.others ?? new Set(),
        open: open(index, position),
      });
    }),
  );
}

interface Targets {
  /** Targets of the disk in the checkpoints of the guest. */
  readonly own: Set<string>;
  /** Targets of other disks in the same checkpoints. */
  readonly others: Set<string>;
}

function targetsByGuest(
  checkpoints: readonly Checkpoint[],
  found: readonly (readonly CheckpointDisk[])[],
  guests: readonly (string | undefined)[],
  { disk: said }: ImageOfDisk,
): Map<string | undefined, Targets> {
  const targets = new Map<string | undefined, Targets>();
  // A name given by a person holds for all checkpoints.
  if (said !== undefined) return targets;
  for (const [position, [disk, ...more]] of found.entries()) {
    const guest = guests[position];
    if (guest === undefined || disk?.target === undefined || more.length > 0) continue;
    const { own, others } = targets.get(guest) ?? { own: new Set(), others: new Set() };
    for (const { target } of checkpoints[position]!.disks)
      if (target !== undefined) (target === disk.target ? own : others).add(target);
    targets.set(guest, { own, others });
  }
  return targets;
}

function unmatched(
  { name, disks }: Checkpoint,
  { disk: said }: ImageOfDisk,
  known: {
    readonly isOnly: boolean;
    readonly isOfOtherGuest: boolean;
    /** Targets of other disks of its guest. */
    readonly others: ReadonlySet<string>;
    readonly open: readonly CheckpointDisk[];
  },
): DiskMatch {
  if (said !== undefined) {
    const reason = `checkpoint "${name}" has no disk ${said}; its disks are: ${list(disks)}`;
    // A disk without a target may be the one that is meant.
    return known.open.some(({ target }) => target === undefined)
      ? unclear(reason)
      : { kind: 'other', reason };
  }
  const [sole, ...others] = disks;
  if (known.isOnly && sole !== undefined && others.length === 0 && sole.source === undefined)
    return { kind: 'disk', disk: sole };
  const reason = `checkpoint "${name}" has no disk with this path; its disks are: ${list(disks)}`;
  const isOther =
    known.isOfOtherGuest ||
    (disks.length > 0 && known.open.every(({ target }) => target !== undefined && known.others.has(target)));
  return isOther ? { kind: 'other', reason } : unclear(reason);
}

function unclear(reason: string): DiskMatch {
  return { kind: 'unclear', reason };
}

function list(disks: readonly CheckpointDisk[]): string {
  return disks.map(describe).join(', ') || 'none';
}

function describe({ name, target, source }: CheckpointDisk): string {
  const other = name === target ? source : target;
  return other === undefined ? name : `${name} (${other})`;
}
