/**
 * Inspects each entry of a bitmap directory and its table.
 */
import { divideUp } from '../bytes/align.ts';
import type { HostCluster } from '../format/addresses.ts';
import { type BitmapDirectoryEntry, MAX_BITMAP_NAME_BYTES, storedName } from '../format/bitmap-directory.ts';
import type { BitmapRule } from '../format/bitmap-rules.ts';
import { BITMAP_TABLE_ENTRY_BYTES } from '../format/bitmap-table.ts';
import type { ExaminedEntry } from '../format/parse-directory.ts';
import type { Image } from '../image/image.ts';
import { bitmapClusters, examineTable, hasBitsPastEnd } from './examined-table.ts';
import { unopenable } from './image-problems.ts';
import type { Problem } from './problem.ts';

/** An entry with its own problems and those of its table. */
export interface InspectedEntry {
  readonly index: number;
  /** Undefined if it cannot be decoded. */
  readonly entry: BitmapDirectoryEntry | undefined;
  /** `sound`: the table follows the rules. `guess`: it breaks some. `none`: it was not read. */
  readonly table: 'sound' | 'guess' | 'none';
  readonly problems: readonly Problem[];
}

const PLACE_RULES: readonly BitmapRule[] = ['entry-table-offset', 'entry-table-size'];

export async function inspectEntries(
  image: Image,
  entries: readonly ExaminedEntry[],
): Promise<InspectedEntry[]> {
  const inspected: InspectedEntry[] = [];
  const names = new Set<string>();
  const room = { clusters: divideUp(image.storage.sizeBytes, image.header.clusterSizeBytes) };
  for (const each of entries) {
    inspected.push(await inspectEntry(image, each, names, room));
    if (each.entry !== undefined) names.add(storedName(each.entry));
  }
  return inspected;
}

async function inspectEntry(
  image: Image,
  { index, offset, entry, violations }: ExaminedEntry,
  namesBefore: ReadonlySet<string>,
  room: Room,
): Promise<InspectedEntry> {
  if (entry === undefined) {
    return {
      index,
      entry,
      table: 'none',
      problems: violations.map((each) => unopenable(image, each, { index, offset })),
    };
  }
  const { name, inUse } = entry;
  const about = { bitmap: name, index, offset };
  const problems = violations.map((each) => unopenable(image, each, about));
  if (inUse) problems.push({ ...inUseProblem(image, name), ...about });
  if (namesBefore.has(storedName(entry)) && !violations.some(({ rule }) => rule === 'duplicate-name')) {
    problems.push({
      code: 'duplicate-name',
      severity: 'error',
      ...about,
      message: `"${name}" is the name of an earlier entry too`,
      remedy: { kind: 'repair-directory', file: image.storage.name },
      unopenable: false,
    });
  }
  if (violations.some(({ rule }) => PLACE_RULES.includes(rule)))
    return { index, entry, table: 'none', problems };

  if (!takeRoom(image, entry, room)) {
    problems.push({
      code: 'overlap',
      severity: 'error',
      ...about,
      message: `the tables of the bitmaps up to "${name}" take more clusters than the file has: some are named more than once`,
      remedy: { kind: 'repair-directory', file: image.storage.name },
      unopenable: false,
    });
    return { index, entry, table: 'none', problems };
  }
  const { table, problems: ofTable } = await examineTable(image, entry);
  for (const problem of ofTable) {
    problems.push({
      severity: 'error',
      ...about,
      ...problem,
      remedy: { kind: 'repair-directory', file: image.storage.name },
      unopenable: problem.code === 'table-entry' && !inUse,
    });
  }
  if (!inUse && ofTable.length === 0 && (await hasBitsPastEnd(image, entry, table))) {
    problems.push({
      code: 'bits-past-end',
      severity: 'warning',
      ...about,
      message: `bitmap "${name}" has bits set past the end of the disk, which the specification requires to be clear`,
      remedy: { kind: 'repair-directory', file: image.storage.name },
      unopenable: false,
    });
  }
  return { index, entry, table: ofTable.length === 0 ? 'sound' : 'guess', problems };
}

/**
 * The number of clusters that no table has taken yet. Without this limit, many entries with the same table
 * would take too long to read.
 */
interface Room {
  clusters: number;
}

function takeRoom(
  { storage, header }: Image,
  { tableOffset, tableEntryCount }: BitmapDirectoryEntry,
  room: Room,
): boolean {
  const lengthBytes = tableEntryCount * BITMAP_TABLE_ENTRY_BYTES;
  // Bytes beyond the end of the file are not read.
  if (tableOffset + lengthBytes > storage.sizeBytes) return true;
  room.clusters -= divideUp(lengthBytes, header.clusterSizeBytes);
  return room.clusters >= 0;
}

function inUseProblem(
  { storage }: Image,
  name: string,
): Pick<Problem, 'code' | 'severity' | 'message' | 'remedy' | 'unopenable'> {
  return {
    code: 'in-use',
    severity: 'error',
    message: `bitmap "${name}" is marked in-use: unless a guest is running on the image, it was not stored after its last use and its content is not valid`,
    remedy: { kind: 'rebuild-or-remove-in-use', file: storage.name, name },
    unopenable: false,
  };
}

/** Every cluster that the decodable part of the bitmap's table points at. */
export async function clustersOf(
  image: Image,
  { entry, table }: InspectedEntry,
): Promise<Iterable<HostCluster>> {
  if (entry === undefined || table === 'none') return [];
  return bitmapClusters(image, entry, (await examineTable(image, entry)).table);
}

/** Whether the name may be stored again unchanged. */
export function isNameable({ nameBytes }: BitmapDirectoryEntry): boolean {
  return nameBytes.length > 0 && nameBytes.length <= MAX_BITMAP_NAME_BYTES;
}
