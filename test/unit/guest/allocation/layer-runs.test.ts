/** The runs of one image say of every cluster what the readable decoder says. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openLayer } from '../../../../src/chain/layer.ts';
import { guestOffset } from '../../../../src/format/addresses.ts';
import { type Cluster, decodeL2Entry } from '../../../../src/format/l2-entry.ts';
import { readL2Entry } from '../../../../src/format/l2-table.ts';
import { runReader } from '../../../../src/guest/allocation/layer-runs.ts';
import { NO_OFFSET, RUN, type Runs } from '../../../../src/guest/allocation/runs.ts';
import { scratchFolder } from '../../../support/scratch.ts';
import { storedHeader } from '../../format/stored-header.ts';

const SECTOR = 512;
const CLUSTER = 2 * SECTOR;
const ENTRIES = CLUSTER / 8;
const TABLES = 3;
const FILE_CLUSTERS = 100;

const anyHost = fc.integer({ min: 2 + TABLES, max: FILE_CLUSTERS - 1 }).map((cluster) => cluster * CLUSTER);
const anyEntry = fc.oneof(
  { weight: 2, arbitrary: fc.constant(0n) },
  { weight: 1, arbitrary: fc.constant(1n) },
  { weight: 4, arbitrary: anyHost.map((host) => BigInt(host) | (1n << 63n)) },
  { weight: 1, arbitrary: anyHost.map((host) => BigInt(host) | (1n << 63n) | 1n) },
  { weight: 1, arbitrary: anyHost.map((host) => BigInt(host + 7) | (1n << 62n)) },
);
/** Entries in a row, as they are on most disks. */
const anyRow = fc
  .tuple(anyEntry, fc.integer({ min: 1, max: 20 }))
  .map(([entry, length]) =>
    Array.from({ length }, (_, index) =>
      (entry & (1n << 63n)) === 0n || Number(entry & 0xffffffn) + index * CLUSTER >= FILE_CLUSTERS * CLUSTER
        ? entry
        : entry + BigInt(index * CLUSTER),
    ),
  );
const anyEntries = fc.array(anyRow, { minLength: 10, maxLength: 60, size: 'max' }).map((rows) => {
  const stored = rows.flat();
  return Array.from({ length: TABLES * ENTRIES }, (_, index) => stored[index] ?? 0n);
});

function imageOf(entries: readonly bigint[], size: number): Buffer {
  const bytes = Buffer.alloc(FILE_CLUSTERS * CLUSTER, 0xee);
  bytes.fill(0, 0, (2 + TABLES) * CLUSTER);
  bytes.set(storedHeader({ cluster_bits: 10, size, l1_size: TABLES, l1_table_offset: CLUSTER }));
  for (let table = 0; table < TABLES; table++)
    bytes.writeBigUInt64BE(BigInt((2 + table) * CLUSTER) | (1n << 63n), CLUSTER + table * 8);
  for (const [index, entry] of entries.entries()) bytes.writeBigUInt64BE(entry, 2 * CLUSTER + index * 8);
  return bytes;
}

function inOneCluster(cluster: Cluster): { kind: number; host: number } {
  switch (cluster.kind) {
    case 'data':
      return { kind: RUN.data, host: cluster.hostOffset ?? NO_OFFSET };
    case 'zero':
      return { kind: RUN.zero, host: cluster.hostOffset ?? NO_OFFSET };
    case 'compressed':
      return { kind: RUN.compressed, host: NO_OFFSET };
    default:
      return { kind: RUN.unallocated, host: NO_OFFSET };
  }
}

/** The kind and the host offset of a byte of the disk. */
function at({ start, ends, kinds, hostOffsets }: Runs, offset: number): { kind: number; host: number } {
  const run = ends.findIndex((end) => end > offset);
  const host = hostOffsets[run]!;
  const runStart = run === 0 ? start : ends[run - 1]!;
  return { kind: kinds[run]!, host: host === NO_OFFSET ? NO_OFFSET : host + offset - runStart };
}

test('each cluster has the kind and the place that the decoder finds, from any start to the end of the disk', async () => {
  const path = join(await scratchFolder(), 'disk.qcow2');
  await fc.assert(
    fc.asyncProperty(
      anyEntries,
      fc.integer({ min: 1, max: (TABLES * ENTRIES * CLUSTER) / SECTOR }).map((sectors) => sectors * SECTOR),
      fc.nat(),
      async (entries, size, from) => {
        const bytes = imageOf(entries, size);
        await writeFile(path, bytes);
        const layer = await openLayer(
          { path, format: 'qcow2', backing: null },
          { mode: 'read', locking: 'none' },
        );
        try {
          if (layer.format !== 'qcow2') throw new Error('not qcow2');
          const { header } = layer.image;
          const start = from % header.virtualSizeBytes;
          const runs = await (await runReader(layer)).read(start);
          expect([runs.start, runs.end]).toEqual([start, header.virtualSizeBytes]);
          const disagreements = [];
          for (let offset = start; offset < runs.end; offset += CLUSTER - (offset % CLUSTER)) {
            const index = Math.floor(offset / CLUSTER);
            const entry = readL2Entry(bytes.subarray(2 * CLUSTER), index, header);
            const { kind, host } = inOneCluster(decodeL2Entry(entry, guestOffset(index * CLUSTER), header));
            const place = host === NO_OFFSET ? NO_OFFSET : host + (offset % CLUSTER);
            const found = at(runs, offset);
            if (found.kind !== kind || found.host !== place)
              disagreements.push({ offset, kind, place, found });
          }
          expect(disagreements).toEqual([]);
        } finally {
          await layer.storage.close();
        }
      },
    ),
    { numRuns: 200 },
  );
});
