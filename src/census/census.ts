/**
 * Finds the owners of the host clusters of an image, except its bitmaps. A plan keeps, stores and drops
 * bitmaps.
 */
import type { Brand } from '../bytes/brand.ts';
import { type HostCluster, type HostRange, hostOffset } from '../format/addresses.ts';
import { visitOffsets } from '../format/table-entries.ts';
import {
  addRange,
  findOverlap,
  type HostClusters,
  needsCheck,
  overlapMessage,
} from '../image/host-clusters.ts';
import { type Image, readActiveTables, requireInside } from '../image/image.ts';
import type { TableReading } from '../image/read-tables.ts';
import { type Refcounts, readRefcountTable } from '../image/refcount-table.ts';
import { type Scan, scanActiveTables } from '../image/scan.ts';
import { addSnapshots, ownStructures, type Structure } from './metadata.ts';

/** A structure that overlaps something else or reaches beyond the end of the file. */
interface MisplacedStructure extends Structure {
  /**
   * The first of its clusters that something else points at too. If undefined, the structure reaches beyond
   * the end of the file.
   */
  readonly taken: HostCluster | undefined;
}

interface Owners {
  readonly image: Image;
  readonly refcounts: Refcounts;
  /** Every cluster that anything except bitmaps points at. */
  readonly ofImage: HostClusters;
  /** The image's own structures except header and refcount blocks. */
  readonly structures: readonly Structure[];
  /** In the order in which they were found. */
  readonly misplaced: readonly MisplacedStructure[];
}

/** A complete record of all that an image points at, except its bitmaps. */
export type Census = Brand<Owners, 'census'>;

/** A census of an image in which a plan may claim clusters. */
export type SoundCensus = Brand<Census, 'sound census'>;

const counted = new WeakSet<Scan>();

/**
 * Reads the refcount table and the snapshots. The census takes over the set of the scan, which may take 256
 * MiB.
 *
 * @throws RefusedError when the refcount table, or a snapshot or its tables cannot be read
 */
export async function takeCensus(scan: Scan, reading: TableReading): Promise<Census> {
  if (counted.has(scan)) throw new Error('a scan was counted twice');
  counted.add(scan);
  const { image, named } = scan.pass;
  const { storage, header } = image;
  const { clusterSizeBytes } = header;
  const refcounts = await readRefcountTable(image);
  const misplaced: MisplacedStructure[] = [];
  const place = (range: HostRange, name: () => string): void => {
    const taken = findOverlap(named, range, header);
    const isBeyondEnd = range.offset + range.length > storage.sizeBytes;
    if (taken !== undefined || isBeyondEnd) misplaced.push({ ...range, what: name(), taken });
    addRange(named, range, header);
  };
  await addSnapshots(scan, reading);
  addRange(named, { offset: hostOffset(0), length: clusterSizeBytes }, header);
  const structures = ownStructures(image, refcounts);
  for (const structure of structures) place(structure, () => structure.what);
  visitOffsets(refcounts.blockOffsets, (index, offset) => {
    place({ offset: hostOffset(offset), length: clusterSizeBytes }, () => `refcount block ${index}`);
  });
  const owners: Owners = { image, refcounts, ofImage: named, structures, misplaced };
  return owners as Census;
}

/** Takes the census of an image whose disk the caller does not scan otherwise. */
export async function censusOf(image: Image, reading: TableReading = {}): Promise<Census> {
  return takeCensus(await scanActiveTables(await readActiveTables(image), undefined, reading), reading);
}

/**
 * @throws RefusedError when a structure of the image overlaps something else. New refcounts there would
 * destroy it.
 */
export function requireSound(census: Census): SoundCensus {
  const { image, misplaced } = census;
  const [first] = misplaced;
  if (first === undefined) return census as SoundCensus;
  const { what, taken } = first;
  requireInside(image.storage, () => what, first);
  throw needsCheck(image, overlapMessage(image, what, first, taken!));
}
