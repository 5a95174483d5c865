/**
 * Which disk of a checkpoint an image is.
 */
import { BitmapToolError } from '../../errors.ts';
import { fileIdentity } from '../../storage/file.ts';
import type { Checkpoint, CheckpointDisk } from '../checkpoint.ts';

export interface ImageOfDisk {
  /** The images of its chain, top first: those that were put on since are not in the XML. */
  readonly paths: readonly string[];
  /** The disk that a person says it is: a target, or what the checkpoint calls it. */
  readonly disk?: string | undefined;
  /** No other image was asked about: then it is the one disk of a checkpoint that tells no paths. */
  readonly isOnly?: boolean | undefined;
}

export type DiskMatch =
  | { readonly kind: 'disk'; readonly disk: CheckpointDisk }
  /** Why it is none, for a person. */
  | { readonly kind: 'mismatch'; readonly reason: string };

/** Goes by what the person says, or by the files; never by names that look alike. */
export async function diskOf(
  { name, disks }: Checkpoint,
  { paths, disk: said, isOnly }: ImageOfDisk,
): Promise<DiskMatch> {
  const found =
    said === undefined
      ? await disksAmong(disks, paths)
      : disks.filter((disk) => disk.target === said || disk.name === said);
  const [disk, ...more] = found;
  if (disk !== undefined && more.length === 0) return { kind: 'disk', disk };
  const [sole, ...others] = disks;
  if (said === undefined && isOnly && sole !== undefined && others.length === 0 && sole.source === undefined)
    return { kind: 'disk', disk: sole };
  const list = disks.map(describe).join(', ') || 'none';
  if (said !== undefined) return mismatch(`checkpoint "${name}" has no disk ${said}; its disks are: ${list}`);
  if (found.length > 1) {
    const several = found.map(describe).join(', ');
    return mismatch(`its chain holds several disks of checkpoint "${name}": ${several}`);
  }
  return mismatch(`it is no disk that checkpoint "${name}" tells the path of; its disks are: ${list}`);
}

async function disksAmong(
  disks: readonly CheckpointDisk[],
  paths: readonly string[],
): Promise<CheckpointDisk[]> {
  const identities = new Set(await Promise.all(paths.map(identityIfThere)));
  const found: CheckpointDisk[] = [];
  for (const disk of disks) {
    const { source } = disk;
    if (source !== undefined && (paths.includes(source) || identities.has(await identityIfThere(source))))
      found.push(disk);
  }
  return found;
}

/** A path that is no longer there is no other one. */
export async function identityIfThere(path: string): Promise<string> {
  try {
    return await fileIdentity(path);
  } catch (error) {
    if (!(error instanceof BitmapToolError)) throw error;
    return `missing ${path}`;
  }
}

function describe({ name, target, source }: CheckpointDisk): string {
  const other = name === target ? source : target;
  return other === undefined ? name : `${name} (${other})`;
}

function mismatch(reason: string): DiskMatch {
  return { kind: 'mismatch', reason };
}
