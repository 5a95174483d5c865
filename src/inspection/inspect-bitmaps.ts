/**
 * Inspects the bitmaps of one image: broken rules, owners of clusters, and leaked clusters.
 */
import {
  type BitmapClusters,
  clustersInWords,
  collectBitmapClusters,
  type FoundClusters,
  findIn,
  isEmpty,
  otherOwner,
} from '../census/bitmap-clusters.ts';
import type { Census } from '../census/census.ts';
import { clustersIn, eachCluster, type HostCluster, offsetOf } from '../format/addresses.ts';
import { type BitmapDirectoryEntry, bitmapDirectoryBytes } from '../format/bitmap-directory.ts';
import type { ExaminedEntry } from '../format/parse-directory.ts';
import { type HostClusters, overlapMessage } from '../image/host-clusters.ts';
import { hasIgnoredBitmaps, type Image, whatQemuWrites } from '../image/image.ts';
import type { TableReading } from '../image/read-tables.ts';
import { examineDirectory } from '../image/stored-bitmaps.ts';
import { imageProblems, unopenable } from './image-problems.ts';
import { clustersOf, type InspectedEntry, inspectEntries, isNameable } from './inspect-entries.ts';
import type { Problem } from './problem.ts';
import { findWrongRefcounts, refcountProblems, uncountedElsewhere } from './wrong-refcounts.ts';

/** A bitmap of the directory, and whether it is reliable. */
export interface InspectedBitmap {
  /** Its index in the directory. */
  readonly index: number;
  /** Undefined if the entry cannot be decoded. */
  readonly entry: BitmapDirectoryEntry | undefined;
  /** The bitmap is not in use, not stale, and has no error. Its content is as QEMU recorded it. */
  readonly trusted: boolean;
  /** The name can be decoded and stored again. */
  readonly nameable: boolean;
  /** Table and data can be read, have refcounts above 0, and share no cluster. */
  readonly ownsItsClusters: boolean;
  readonly problems: readonly Problem[];
}

export interface BitmapInspection {
  readonly census: Census;
  /** All problems, including those of single bitmaps. */
  readonly problems: readonly Problem[];
  /** In the order of the directory, even if the directory is stale. */
  readonly bitmaps: readonly InspectedBitmap[];
  /** QEMU refuses the image because of its bitmaps. */
  readonly unopenable: boolean;
  /** Clusters that the bitmaps and their directory use, or may use. */
  readonly clusters: HostClusters;
  /** Clusters with a refcount above 0 and no reference. */
  readonly leakedClusters: number;
  /** Clusters outside bitmaps with a reference and refcount 0. */
  readonly uncountedClusters: number;
}

/**
 * Reads the directory, the tables and the refcounts, and writes nothing. It keeps one table at a time in
 * memory, and a few bits for each cluster of the file.
 *
 * @throws RefusedError when the refcounts cannot be read
 */
export async function inspectBitmaps(census: Census, reading: TableReading = {}): Promise<BitmapInspection> {
  const { image } = census;
  const directory = await examineDirectory(image);
  const ignored = hasIgnoredBitmaps(image);
  // Only the names of stale bitmaps are useful: their clusters may have been reused.
  const entries = ignored
    ? directory.entries.map((each): InspectedEntry => ({ ...each, table: 'none', problems: [] }))
    : await inspectEntries(image, directory.entries);

  const ofDirectory = directoryClusters(image, directory.entries);
  const clusters = await collectBitmapClusters(
    census,
    ignored ? [] : certainClusters(image, ofDirectory, entries),
    ignored ? [] : guessedClusters(image, entries),
  );
  const wrong = await findWrongRefcounts(census, clusters, reading);
  const doubts = doubtsAbout(census, clusters, wrong.uncounted);
  const directoryDoubts = ignored ? [] : doubtful(image, 'the bitmap directory', ofDirectory, doubts);
  const directoryIsSafe = directoryDoubts.length === 0;

  const bitmaps: InspectedBitmap[] = [];
  for (const each of entries) {
    const { index, entry, table } = each;
    const ofClusters =
      table === 'sound' && doubts.length > 0
        ? doubtful(image, `bitmap "${entry!.name}"`, await clustersOf(image, each), doubts)
        : [];
    const problems = [...each.problems, ...ofClusters.map((problem) => ({ ...problem, ...about(each) }))];
    const isSound = problems.every(({ severity }) => severity !== 'error');
    bitmaps.push({
      index,
      entry,
      trusted: !ignored && directoryIsSafe && table === 'sound' && isSound,
      nameable: entry !== undefined && isNameable(entry),
      ownsItsClusters: directoryIsSafe && table === 'sound' && ofClusters.length === 0,
      problems,
    });
  }
  const ofEntries = new Set(directory.entries.flatMap(({ violations }) => violations));
  const problems = [
    ...imageProblems(image),
    ...misplacedStructures(census),
    ...(ignored ? [] : directory.violations)
      .filter((each) => !ofEntries.has(each))
      .map((each) => unopenable(image, each)),
    ...directoryDoubts,
    ...bitmaps.flatMap((bitmap) => bitmap.problems),
    ...refcountProblems(census, wrong),
  ];
  return {
    census,
    problems,
    bitmaps,
    unopenable: problems.some((problem) => problem.unopenable),
    clusters: clusters.ofBitmaps,
    leakedClusters: wrong.leakedClusters,
    uncountedClusters: uncountedElsewhere(wrong, census).count,
  };
}

function about({ index, entry }: InspectedEntry): Pick<Problem, 'index' | 'bitmap'> {
  return entry === undefined ? { index } : { index, bitmap: entry.name };
}

function misplacedStructures({ image, misplaced }: Census): Problem[] {
  return misplaced.flatMap((structure): Problem[] => {
    const { what, taken } = structure;
    return taken === undefined
      ? []
      : [
          {
            code: 'metadata-overlap',
            severity: 'error',
            message: overlapMessage(image, what, structure, taken),
            remedy: { kind: 'check', file: image.storage.name, copyFirst: true },
            unopenable: false,
            offset: offsetOf(taken, image.header),
          },
        ];
  });
}

async function* certainClusters(
  image: Image,
  ofDirectory: readonly HostCluster[],
  entries: readonly InspectedEntry[],
): AsyncGenerator<Iterable<HostCluster>> {
  yield ofDirectory;
  for (const each of entries) if (each.table === 'sound') yield await clustersOf(image, each);
}

/** A broken table may point anywhere. */
async function* guessedClusters(
  image: Image,
  entries: readonly InspectedEntry[],
): AsyncGenerator<Iterable<HostCluster>> {
  for (const each of entries) if (each.table === 'guess') yield await clustersOf(image, each);
  yield allegedDirectory(image);
}

/** The clusters of the decodable entries. A wrong directory size must not claim other clusters. */
function directoryClusters(image: Image, entries: readonly ExaminedEntry[]): HostCluster[] {
  const { bitmaps } = image;
  if (bitmaps.kind === 'none' || bitmaps.directory.offset === undefined) return [];
  const { offset } = bitmaps.directory;
  const last = entries.findLast(({ entry }) => entry !== undefined);
  const end = last === undefined ? offset + 1 : last.offset + bitmapDirectoryBytes([last.entry!]);
  return [...eachCluster(clustersIn({ offset, length: end - offset }, image.header))];
}

/** All clusters of the directory by the offset and size in the extension. */
function allegedDirectory(image: Image): HostCluster[] {
  const { bitmaps } = image;
  if (bitmaps.kind === 'none') return [];
  const { offset, sizeBytes } = bitmaps.directory;
  if (offset === undefined || sizeBytes === undefined) return [];
  return [...eachCluster(clustersIn({ offset, length: sizeBytes }, image.header))];
}

/** A reason not to rely on some clusters. */
interface Doubt {
  readonly clusters: HostClusters;
  describe(what: string, found: FoundClusters): Pick<Problem, 'code' | 'message' | 'remedy'>;
}

function doubtsAbout(census: Census, { contested }: BitmapClusters, uncounted: HostClusters): Doubt[] {
  const { image } = census;
  const doubts: Doubt[] = [
    {
      clusters: contested,
      describe: (what, found) => ({
        code: 'overlap',
        message: `${clustersInWords(image, found)} of ${what} also ${found.count === 1 ? 'belongs' : 'belong'} to ${otherOwner(census, found.first)}`,
        remedy: { kind: 'repair-directory', file: image.storage.name, copyFirst: true },
      }),
    },
    {
      clusters: uncounted,
      describe: (what, found) => ({
        code: 'refcount-too-low',
        message: `${clustersInWords(image, found)} of ${what} ${found.count === 1 ? 'has refcount 0: QEMU would allocate it again' : 'have refcount 0: QEMU would allocate them again'}`,
        remedy: { kind: 'check-and-repair', ...whatQemuWrites(image) },
      }),
    },
  ];
  return doubts.filter(({ clusters }) => !isEmpty(clusters));
}

function doubtful(
  { header }: Image,
  what: string,
  clusters: Iterable<HostCluster>,
  doubts: readonly Doubt[],
): Problem[] {
  const list = [...clusters];
  return doubts.flatMap((doubt) => {
    const found = findIn(doubt.clusters, list);
    if (found === undefined) return [];
    return {
      ...doubt.describe(what, found),
      severity: 'error' as const,
      unopenable: false,
      offset: offsetOf(found.first, header),
      clusters: found.count,
    };
  });
}
