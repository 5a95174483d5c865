/** One pass over L2 tables: their allocation, their references, and forbidden references. */
import { describe, expect, test } from 'vitest';
import { getBit, type ReadonlyBits } from '../../../src/bytes/bits.ts';
import { hostOffset } from '../../../src/format/addresses.ts';
import type { Cluster, Content } from '../../../src/format/l2-entry.ts';
import type { HostClusters } from '../../../src/image/host-clusters.ts';
import type { ActiveTables, Image } from '../../../src/image/image.ts';
import { hostRange, scanActiveTables, type TableVisitor } from '../../../src/image/scan.ts';
import { memoryStorage } from '../../support/memory.ts';
import { geometry } from '../format/stored-header.ts';
import { buildImage } from './built-image.ts';

const CLUSTER = 512;
const bitsOf = (bits: ReadonlyBits, count: number) =>
  Array.from({ length: count }, (_, index) => index).filter((index) => getBit(bits, index));
const clustersIn = ({ bits, clusterCount }: HostClusters) => bitsOf(bits, clusterCount);

const data = (cluster: number) => BigInt(cluster * CLUSTER) | (1n << 63n);
const ZERO = 1n;
/** A number of additional sectors from a byte on. With clusters of 512 bytes one bit counts them. */
const compressed = (offset: number, more = 0) => (1n << 62n) | (BigInt(more) << 61n) | BigInt(offset);

/** The clusters that the tables name, as if the L1 table named these tables. */
async function namedBy(
  image: Image,
  l2Offsets: Float64Array,
  visitor: TableVisitor | undefined,
): Promise<number[]> {
  const { pass } = await scanActiveTables({ image, l2Offsets } as ActiveTables, visitor, {});
  // Entries without a cluster may stand for the header, which is taken anyway.
  return clustersIn(pass.named).filter((cluster) => cluster > 0);
}

/** An image of 40 clusters with its L2 tables from cluster 10 on. */
async function scanned(content: Content | undefined, ...tables: Record<number, bigint>[]) {
  const { image } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 40 });
  for (const [table, entries] of tables.entries()) {
    for (const [index, entry] of Object.entries(entries)) {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64BE(entry);
      await image.storage.write((10 + table) * CLUSTER + Number(index) * 8, bytes);
    }
  }
  const found: Record<number, number[]> = {};
  const onTables = (first: number, units: Uint8Array) => {
    for (let table = 0; table < units.length / 8; table++) {
      found[first + table] = bitsOf(units.subarray(table * 8), 64);
    }
  };
  const l2Offsets = Float64Array.from(tables, (_, table) => (10 + table) * CLUSTER);
  return { found, named: await namedBy(image, l2Offsets, content && { content, onTables }) };
}

describe('L2 tables', () => {
  const plain = { 0: data(20), 3: data(22), 5: data(23) | ZERO, 6: ZERO, 63: data(39) };

  test('hold the clusters that they refer to and those that read as zeros', async () => {
    const { found, named } = await scanned('allocated', plain, { 1: data(30) });
    expect(found).toEqual({ 0: [0, 3, 5, 6, 63], 1: [1] });
    expect(named).toEqual([10, 11, 20, 22, 23, 30, 39]);
  });

  test('have data in clusters that do not read as zeros', async () => {
    const { found, named } = await scanned('data', plain, { 1: data(30) });
    expect(found).toEqual({ 0: [0, 3, 63], 1: [1] });
    expect(named).toEqual([10, 11, 20, 22, 23, 30, 39]);
  });

  test('hold compressed clusters, each of which may cover several clusters of the file', async () => {
    for (const content of ['allocated', 'data', undefined] as const) {
      const { found, named } = await scanned(content, {
        2: compressed(20 * CLUSTER + 7),
        4: compressed(25 * CLUSTER + 9, 1),
      });
      expect(found).toEqual(content === undefined ? {} : { 0: [2, 4] });
      expect(named).toEqual([10, 20, 25, 26]);
    }
  });

  test('with compressed clusters do not affect the tables before them', async () => {
    const { found } = await scanned(
      'allocated',
      { 0: data(20), 1: data(21) },
      { 5: compressed(25 * CLUSTER) },
    );
    expect(found).toEqual({ 0: [0, 1], 1: [5] });
  });
});

test('each subcluster holds data or zeros by itself', async () => {
  const { image: standard } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 40 });
  const bytes = Buffer.alloc(5 * 16384);
  // The second entry: subclusters 0 and 5 have data, the last one reads as zeros.
  bytes.writeBigUInt64BE(BigInt(3 * 16384) | (1n << 63n), 16384 + 16);
  bytes.writeBigUInt64BE((1n << 63n) | 0b100001n, 16384 + 24);
  const image = { ...standard, header: geometry(14, true), storage: memoryStorage(bytes) };
  for (const [content, units] of [
    ['allocated', [32, 37, 63]],
    ['data', [32, 37]],
  ] as const) {
    const found: number[] = [];
    const onTables = (_: number, bits: Uint8Array) => {
      found.push(...bitsOf(bits, 1024 * 32));
    };
    const named = await namedBy(image, Float64Array.of(16384), { content, onTables });
    expect(found).toEqual(units);
    expect(named).toEqual([1, 3]);
  }
});

test('many adjacent tables are scanned as if each were alone', async () => {
  // A table in 100 clusters, with gaps in the L1 table, one table that is named twice, and compressed clusters in two.
  const clusters = [...Array(90).keys()].map((index) => 10 + index);
  const l1 = [...clusters.slice(0, 40), 0, 0, ...clusters.slice(40, 60), 40, ...clusters.slice(60)];
  const tables = clusters.map((cluster, index): Record<number, bigint> => {
    const own = { [index % 63]: data(100 + cluster), 63: ZERO };
    return index === 20 || index === 21 ? { ...own, 5: compressed(250 * CLUSTER) } : own;
  });
  const { image } = await buildImage({ clusterBits: 9, refcountOrder: 4, clusterCount: 300 });
  for (const [index, entries] of tables.entries()) {
    for (const [entry, word] of Object.entries(entries)) {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64BE(word);
      await image.storage.write(clusters[index]! * CLUSTER + Number(entry) * 8, bytes);
    }
  }
  const found: Record<number, number[]> = {};
  const calls: number[] = [];
  const onTables = (first: number, units: Uint8Array) => {
    calls.push(units.length / 8);
    for (let table = 0; table < units.length / 8; table++) {
      found[first + table] = bitsOf(units.subarray(table * 8), 64);
    }
  };
  const l2Offsets = Float64Array.from(l1, (cluster) => cluster * CLUSTER);
  const named = await namedBy(image, l2Offsets, { content: 'allocated', onTables });
  const expected = l1.flatMap((cluster, l1Index) => {
    if (cluster === 0) return [];
    const entries = Object.keys(tables[cluster - 10]!).map(Number);
    return [[l1Index, entries.sort((a, b) => a - b)] as const];
  });
  expect(found).toEqual(Object.fromEntries(expected));
  expect(named).toEqual(
    [...clusters, ...clusters.map((cluster) => 100 + cluster), 250].sort((a, b) => a - b),
  );
  expect(Math.max(...calls)).toBeGreaterThan(1);
});

describe('a scan refuses', () => {
  test.each<[string, Record<number, bigint>, string, RegExp]>([
    [
      'a cluster beyond the end',
      { 1: data(40) },
      'INVALID_IMAGE',
      /cluster of disk offset 0x200 at 0x5000 \(1 bytes\)/,
    ],
    ['compressed data beyond the end', { 2: compressed(40 * CLUSTER) }, 'INVALID_IMAGE', /disk offset 0x400/],
    ['compressed data in the header', { 2: compressed(511) }, 'NEEDS_CHECK', /at 0x1ff lies in the header/],
    ['an entry with reserved bits', { 3: data(20) | 2n }, 'INVALID_IMAGE', /^built\.qcow2: /],
  ])('%s', async (_, entries, code, message) => {
    for (const content of ['allocated', 'data', undefined] as const)
      await expect(scanned(content, entries)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
  });

  test('neither the last byte of the file nor the first one after the header', async () => {
    const { named } = await scanned('allocated', {
      1: compressed(40 * CLUSTER - 1, 1),
      2: compressed(CLUSTER),
    });
    expect(named).toEqual([1, 10, 39]);
  });

  test('a cluster of a later table with its offset on the disk', async () => {
    await expect(scanned('allocated', {}, { 1: data(40) })).rejects.toThrow(/disk offset 0x8200/);
  });
});

describe('a cluster lies in the image', () => {
  const header = geometry(16);

  test.each<[string, Cluster, object | undefined]>([
    ['nowhere, unallocated', { kind: 'unallocated' }, undefined],
    [
      'where its data does',
      { kind: 'data', hostOffset: hostOffset(65536) },
      { offset: 65536, length: 65536 },
    ],
    [
      'where it is kept as zeros',
      { kind: 'zero', hostOffset: hostOffset(65536) },
      { offset: 65536, length: 65536 },
    ],
    ['nowhere, as zeros alone', { kind: 'zero', hostOffset: undefined }, undefined],
    [
      'in the sectors of its compressed data',
      { kind: 'compressed', hostOffset: hostOffset(700), lengthBytes: 324 },
      { offset: 700, length: 324 },
    ],
    [
      'whole, however many subclusters it has',
      { kind: 'subclusters', hostOffset: hostOffset(65536), dataMask: 1, zeroMask: 0 },
      { offset: 65536, length: 65536 },
    ],
    [
      'nowhere, with subclusters of zeros alone',
      { kind: 'subclusters', hostOffset: undefined, dataMask: 0, zeroMask: 1 },
      undefined,
    ],
  ])('%s', (_, cluster, range) => {
    expect(hostRange(cluster, header)).toEqual(range);
    // With a data file the cluster is in that file, and cannot be compressed.
    if (cluster.kind !== 'compressed')
      expect(hostRange(cluster, { ...header, hasDataFile: true })).toBeUndefined();
  });
});
