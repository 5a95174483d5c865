/** Random creation options of a qcow2 image, without combinations that QEMU refuses. */
import type { Random } from './random.ts';

export interface Qcow2Options {
  compat: '0.10' | '1.1';
  clusterSize: number;
  refcountBits: number;
  extendedL2: boolean;
  compression: 'zlib' | 'zstd';
  lazyRefcounts: boolean;
  preallocation: 'off' | 'metadata';
  dataFile: 'none' | 'standard' | 'raw';
  encryption: 'none' | 'aes' | 'luks';
}

export interface OptionLimits {
  compat?: '0.10' | '1.1';
  hasBacking: boolean;
}

const clusterSizes = Array.from({ length: 13 }, (_, index) => 512 << index);
const smallestExtendedCluster = 16384;

export function randomQcow2Options(random: Random, limits: OptionLimits): Qcow2Options {
  const clusterSize = random.chance(0.3) ? 65536 : random.pick(clusterSizes);
  const encryption = random.chance(0.1) ? (random.chance(0.15) ? 'luks' : 'aes') : 'none';
  const compat = limits.compat ?? (random.chance(0.15) ? '0.10' : '1.1');
  if (compat === '0.10') return { ...version2, clusterSize, encryption };

  const extendedL2 = clusterSize >= smallestExtendedCluster && random.chance(0.35);
  const dataFile = random.chance(0.2) ? randomDataFile(random, limits, encryption) : 'none';
  const mayPreallocate = !limits.hasBacking || extendedL2;
  return {
    compat,
    clusterSize,
    refcountBits: random.chance(0.5) ? 16 : random.pick([1, 2, 4, 8, 32, 64]),
    extendedL2,
    compression: random.chance(0.3) ? 'zstd' : 'zlib',
    lazyRefcounts: random.chance(0.2),
    preallocation: mayPreallocate && random.chance(0.15) ? 'metadata' : 'off',
    dataFile,
    encryption,
  };
}

const version2 = {
  compat: '0.10',
  refcountBits: 16,
  extendedL2: false,
  compression: 'zlib',
  lazyRefcounts: false,
  preallocation: 'off',
  dataFile: 'none',
} as const;

/** A raw data file is the whole disk in the clear: no backing image, no encryption. */
function randomDataFile(
  random: Random,
  { hasBacking }: OptionLimits,
  encryption: Qcow2Options['encryption'],
): Qcow2Options['dataFile'] {
  return hasBacking || encryption !== 'none' || random.chance(0.5) ? 'standard' : 'raw';
}

/** What the options leave possible later in the image's life. */
export function canHoldBitmaps({ compat }: Qcow2Options): boolean {
  return compat === '1.1';
}

/** A snapshot counts every cluster once more, and many compressed clusters share one. */
export function canTakeSnapshots({ dataFile, refcountBits }: Qcow2Options): boolean {
  return dataFile === 'none' && refcountBits >= 16;
}

/** Version 2 has no zero clusters, so where a backing image would show through nothing can be discarded. */
export function canDiscard({ compat }: Qcow2Options, hasBacking: boolean): boolean {
  return compat === '1.1' || !hasBacking;
}

export function canCompress({ dataFile, encryption }: Qcow2Options): boolean {
  return dataFile === 'none' && encryption === 'none';
}
