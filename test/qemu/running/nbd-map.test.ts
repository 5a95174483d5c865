/** Reading a metadata context from a running QEMU, with nbdinfo of libnbd as judge. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { dumpRunning, openQemu } from '../../../src/index.ts';
import { visitNbdMap } from '../../../src/qemu/nbd-map.ts';
import { runProgram } from '../../support/external-program.ts';
import { qemuImg } from '../../support/qemu.ts';
import { brokenChain } from '../../support/running-chain.ts';
import { qcow2Nodes, type RunningQemu, startQemu } from '../../support/running-qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

const CONTEXT = 'qemu:allocation-depth';

/** Exports the node, as a session of the tool does it. */
async function exported({ qmp }: RunningQemu, node: string): Promise<string> {
  const path = join(await scratchFolder(), 'nbd.sock');
  await qmp.execute('nbd-server-start', { addr: { type: 'unix', data: { path } } });
  await qmp.execute('block-export-add', {
    type: 'nbd',
    id: 'disk',
    name: 'a name',
    'node-name': node,
    'allocation-depth': true,
  });
  return path;
}

type Extent = { offset: number; length: number; type: number };

async function ours(socket: string, virtualSizeBytes: number): Promise<Extent[]> {
  const extents: Extent[] = [];
  const from = { socket, name: 'a name', context: CONTEXT, virtualSizeBytes, delete: async () => {} };
  const onExtent = (offset: number, length: number, type: number) => extents.push({ offset, length, type });
  await visitNbdMap(from, { onExtent, onPosition: () => {} }, undefined);
  return merged(extents);
}

async function ofNbdinfo(socket: string): Promise<Extent[]> {
  const uri = `nbd+unix:///a%20name?socket=${socket}`;
  const extents: Extent[] = JSON.parse(await runProgram('nbdinfo', ['--json', `--map=${CONTEXT}`, uri]));
  return merged(extents.map(({ offset, length, type }) => ({ offset, length, type })));
}

/** How an answer is cut at the ends of requests plays no part. */
function merged(extents: readonly Extent[]): Extent[] {
  const result: Extent[] = [];
  for (const extent of extents) {
    const last = result.at(-1);
    if (last?.type === extent.type && last.offset + last.length === extent.offset)
      last.length += extent.length;
    else result.push({ ...extent });
  }
  return result;
}

it('reads the same extents as nbdinfo', async () => {
  const { top } = await brokenChain();
  const qemu = await startQemu(qcow2Nodes('top', top), 'qemu-storage-daemon');
  const socket = await exported(qemu, 'top');
  const extents = await ours(socket, 64 * 2 ** 20);
  expect(new Set(extents.map(({ type }) => type))).toEqual(new Set([0, 1, 2]));
  expect(extents).toEqual(await ofNbdinfo(socket));
});

/** More extents than QEMU puts into one answer (NBD_MAX_BLOCK_STATUS_EXTENTS is 131072). */
it('reads all extents if QEMU needs several answers for one request', async () => {
  const image = join(await scratchFolder(), 'disk.qcow2');
  const [clusters, clusterBytes] = [140_000, 512];
  const diskBytes = clusters * clusterBytes;
  await qemuImg(
    'create',
    '-q',
    '-f',
    'qcow2',
    '-o',
    `cluster_size=${clusterBytes}`,
    image,
    String(diskBytes),
  );
  const everyOther = ['-c', String(clusters / 2), '-s', String(clusterBytes), '-S', String(2 * clusterBytes)];
  await qemuImg('bench', '-w', '-t', 'unsafe', ...everyOther, '-f', 'qcow2', image);
  const qemu = await startQemu(qcow2Nodes('disk', image), 'qemu-storage-daemon');
  const socket = await exported(qemu, 'disk');
  const extents = await ours(socket, diskBytes);
  expect(extents).toHaveLength(clusters);
  expect(extents).toEqual(await ofNbdinfo(socket));
});

it('reports the progress from the first answer on', async () => {
  const image = join(await scratchFolder(), 'disk.qcow2');
  const totalBytes = 8 * 2 ** 30;
  await qemuImg('create', '-q', '-f', 'qcow2', image, String(totalBytes));
  const running = await startQemu(qcow2Nodes('disk', image), 'qemu-storage-daemon');
  const qemu = await openQemu({ qmp: running.socket });
  const positions: number[] = [];
  await dumpRunning(qemu, image, '#ALLOCATED', {
    onProgress(progress) {
      expect(progress).toMatchObject({ phase: 'reading allocation from QEMU', image, totalBytes });
      positions.push(progress.doneBytes);
    },
  }).finally(() => qemu.close());
  expect(positions.length).toBeGreaterThan(4);
  expect(positions).toEqual(positions.toSorted((a, b) => a - b));
  expect(new Set(positions).size).toBe(positions.length);
  expect([positions[0], positions.at(-1)]).toEqual([0, totalBytes]);
});
