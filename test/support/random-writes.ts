/** Random guest writes as qemu-io commands, often at the borders of clusters, subclusters and the disk. */
import type { Extent } from './extents.ts';
import type { Random } from './random.ts';

export type WriteKind = 'data' | 'zero' | 'unmap' | 'discard' | 'compressed';

export interface GuestWrite extends Extent {
  kind: WriteKind;
  /** The byte that data consists of. */
  pattern: number;
}

export interface WrittenDisk {
  virtualSize: number;
  clusterSize: number;
}

const sector = 512;
const mostClusters = 5;
const longestData = 1 << 20;

/**
 * Compressed writes come last, each to another cluster.
 *
 * A QEMU (7.2) that frees a cluster with compressed data and goes on compressing may put the next compressed data into a
 * cluster that meanwhile holds other data. That damages the image; none of ours shall begin so.
 */
export function randomWrites(
  random: Random,
  disk: WrittenDisk,
  kinds: readonly WriteKind[],
  count: number,
): GuestWrite[] {
  const plain: GuestWrite[] = [];
  const compressed = new Map<number, GuestWrite>();
  for (let index = 0; index < count; index++) {
    const kind = random.pick(kinds);
    const pattern = random.between(1, 255);
    if (kind === 'compressed') {
      const extent = wholeClusters(random, disk, 1);
      compressed.set(extent.start, { ...extent, kind, pattern });
    } else {
      plain.push({ ...randomExtent(random, disk, kind), kind, pattern });
    }
  }
  return [...plain, ...compressed.values()];
}

/** The qemu-io commands for a qcow2 image; QEMU compresses only into clusters that hold nothing yet. */
export function writeCommands(writes: readonly GuestWrite[]): string[] {
  const compressed = writes.filter(({ kind }) => kind === 'compressed');
  return [
    ...writes.filter(({ kind }) => kind !== 'compressed').map(command),
    ...compressed.map((write) => command({ ...write, kind: 'discard' })),
    ...compressed.map(command),
  ];
}

/** The commands with which a raw image gets the same content. */
export function plainCommands(writes: readonly GuestWrite[]): string[] {
  return writes.map((write) => command(write.kind === 'compressed' ? { ...write, kind: 'data' } : write));
}

function command({ kind, start, length, pattern }: GuestWrite): string {
  const range = `${start} ${length}`;
  switch (kind) {
    case 'data':
      return `write -q -P ${pattern} ${range}`;
    case 'zero':
      return `write -q -z ${range}`;
    case 'unmap':
      return `write -q -z -u ${range}`;
    case 'discard':
      return `discard -q ${range}`;
    case 'compressed':
      return `write -q -c -P ${pattern} ${range}`;
  }
}

function randomExtent(random: Random, disk: WrittenDisk, kind: WriteKind): Extent {
  const longest = kind === 'data' ? Math.max(longestData, disk.clusterSize) : disk.virtualSize;
  const { start, length } = random.chance(0.5)
    ? wholeClusters(random, disk, random.between(1, mostClusters))
    : alignedTo(random.chance(0.5) ? Math.max(disk.clusterSize / 32, sector) : sector, random, disk);
  return { start, length: Math.min(length, longest) };
}

function wholeClusters(random: Random, disk: WrittenDisk, count: number): Extent {
  const start = randomCluster(random, disk) * disk.clusterSize;
  return { start, length: Math.min(count * disk.clusterSize, disk.virtualSize - start) };
}

/** Up to two and a half clusters long, with ends wherever the unit allows. */
function alignedTo(unit: number, random: Random, disk: WrittenDisk): Extent {
  const cluster = randomCluster(random, disk) * disk.clusterSize;
  const inside = random.below(disk.clusterSize / unit) * unit;
  const start = Math.min(cluster + inside, disk.virtualSize - sector);
  const length = random.between(1, Math.max(1, Math.floor((2.5 * disk.clusterSize) / unit))) * unit;
  return { start, length: Math.min(length, disk.virtualSize - start) };
}

/** Layers only meet where they write to the same places: mostly near the start, often at the very end. */
function randomCluster(random: Random, { virtualSize, clusterSize }: WrittenDisk): number {
  const count = Math.ceil(virtualSize / clusterSize);
  if (random.chance(0.1)) return count - 1;
  return random.below(random.chance(0.6) ? Math.min(count, 24) : count);
}
