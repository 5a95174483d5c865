/** Images below the active one. QEMU itself opens them for writing, and then restores their options. */
import { copyFile, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { newRunName } from '../../../src/qemu/own-names.ts';
import { bitmapTool, bitmapToolJson } from '../../support/bitmap-tool.ts';
import { qemuBitmaps, qemuCheck, qemuImg, qemuIo } from '../../support/qemu.ts';
import { leftIn, qcow2Nodes, type RunningQemu, startQemu } from '../../support/running-qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';

/** Three images; the one in the middle was written to and lacks c1, which the base and the top have. */
async function chainWithGap() {
  const folder = await scratchFolder();
  const [base, middle, top] = ['base', 'middle', 'top'].map((name) => join(folder, `${name}.qcow2`)) as [
    string,
    string,
    string,
  ];
  await qemuImg('create', '-q', '-f', 'qcow2', base, '64M');
  await qemuImg('bitmap', '--add', base, 'c1');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', middle);
  await qemuIo(middle, 'write -q -P 2 1M 1M');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', middle, '-F', 'qcow2', top);
  await qemuImg('bitmap', '--add', top, 'c1');
  await qemuIo(top, 'write -q -P 3 4M 1M');
  return { folder, base, middle, top };
}

const OPTIONS = { discard: 'unmap', cache: { direct: false, 'no-flush': true }, 'detect-zeroes': 'unmap' };

/** The nodes of libvirt: two for each image, read-only below the active one. */
function nodesOf({ base, middle, top }: { base: string; middle: string; top: string }, below: object = {}) {
  const lower = { 'read-only': true, ...OPTIONS, ...below };
  return [
    ...qcow2Nodes('base', base, { ...lower, backing: null }),
    ...qcow2Nodes('middle', middle, { ...lower, backing: 'base' }),
    ...qcow2Nodes('top', top, { ...OPTIONS, backing: 'middle' }),
  ];
}

async function optionsOf({ qmp }: RunningQemu, name: string) {
  const infos = await qmp.execute<Record<string, unknown>[]>('query-named-block-nodes', { flat: true });
  const { ro, cache, detect_zeroes } = infos.find((info) => info['node-name'] === name)!;
  return { ro, cache, detect_zeroes };
}

it('adds a bitmap to an image in the middle of a running chain, and keeps its options', async () => {
  const chain = await chainWithGap();
  const qemu = await startQemu(nodesOf(chain));
  const before = [await optionsOf(qemu, 'middle'), await optionsOf(qemu, 'middle-file')];
  const { exitCode, stderr } = await bitmapTool('repair', '--qmp', qemu.socket, '-n', 'c1', chain.top);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect([await optionsOf(qemu, 'middle'), await optionsOf(qemu, 'middle-file')]).toEqual(before);
  expect(before).toMatchObject([{ ro: true }, { ro: true }]);
  expect(await leftIn(qemu)).toEqual([]);
  expect(await qemu.bitmaps('middle')).toMatchObject({
    c1: { count: 2 ** 20, recording: true, persistent: true },
  });
  // Giving it back has stored it: not even a crash takes it away.
  await qemu.crash();
  expect(await qemuBitmaps(chain.middle)).toEqual([{ name: 'c1', granularity: 65536, flags: ['auto'] }]);
  expect(await qemuCheck(chain.middle)).toMatchObject({ errors: 0, leaks: 0 });
});

it('repairs the middle and the top together, and does not change guest data', async () => {
  const chain = await chainWithGap();
  await qemuImg('bitmap', '--remove', chain.top, 'c1');
  const qemu = await startQemu(nodesOf(chain));
  await bitmapToolJson('repair', '--qmp', qemu.socket, '-n', 'c1', chain.top);
  await qemu.write('top', 'write -q -P 4 9M 1M');
  await qemu.stop();
  expect(await bitmapTool('check', '--json', chain.top)).toMatchObject({
    exitCode: 0,
    json: { disks: [{ checkpoints: [{ name: 'c1', valid: true, dirtyBytes: 3 * 2 ** 20 }] }] },
  });
  await qemuIo(chain.top, 'read -q -P 2 1M 1M', 'read -q -P 3 4M 1M', 'read -q -P 4 9M 1M');
});

/** The chain with a filter between the top and the image in the middle. */
function filteredNodes(chain: { base: string; middle: string; top: string }) {
  const [base, baseFile, middle, middleFile, ...top] = nodesOf(chain);
  const filter = { driver: 'throttle', 'node-name': 'filter', file: 'middle', 'throttle-group': 'limits' };
  return [
    base!,
    baseFile!,
    middle!,
    middleFile!,
    filter,
    ...top.slice(0, -1),
    { ...top.at(-1)!, backing: 'filter' },
  ];
}

const THROTTLED = ['-object', 'throttle-group,id=limits', '-machine', 'none', '-S'];

it('keeps a filter above the backing image when it gives an image back', async () => {
  const chain = await chainWithGap();
  const above = join(chain.folder, 'above.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', chain.top, '-F', 'qcow2', above);
  const nodes = filteredNodes(chain).map((node) =>
    node['node-name'] === 'top' || node['node-name'] === 'top-file'
      ? { ...node, ...OPTIONS, 'read-only': true }
      : node,
  );
  const all = [...nodes, ...qcow2Nodes('above', above, { ...OPTIONS, backing: 'top' })];
  const qemu = await startQemu(all, undefined, THROTTLED);
  const belowTop = async () => {
    const { nodes: ids, edges } = await qemu.qmp.execute<{
      nodes: { id: number; name: string }[];
      edges: { parent: number; child: number; name: string }[];
    }>('x-debug-query-block-graph');
    const idOf = (name: string) => ids.find((node) => node.name === name)!.id;
    const edge = edges.find(({ parent, name }) => parent === idOf('top') && name === 'backing')!;
    return ids.find(({ id }) => id === edge.child)!.name;
  };
  expect(await belowTop()).toBe('filter');
  const { exitCode, stderr } = await bitmapTool('add', '--qmp', qemu.socket, chain.top, 'x');
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(await belowTop()).toBe('filter');
});

it('refuses to read images down to a base through a filter, which QEMU counts as an image', async () => {
  const chain = await chainWithGap();
  const qemu = await startQemu(filteredNodes(chain), undefined, THROTTLED);
  const above = ['create-from', '--allocated', '-n', 'x', '--qmp', qemu.socket, chain.top, '--above'];
  expect(await bitmapTool(...above, chain.base)).toMatchObject({
    exitCode: 4,
    stderr: expect.stringContaining('QEMU has the filter node "filter"'),
  });
});

it('refuses an image whose file was replaced since QEMU opened it', async () => {
  const chain = await chainWithGap();
  const qemu = await startQemu(nodesOf(chain));
  await rename(chain.middle, `${chain.middle}.old`);
  await qemuImg('create', '-q', '-f', 'qcow2', '-b', chain.base, '-F', 'qcow2', chain.middle);
  for (const command of ['check', 'repair']) {
    expect(await bitmapTool(command, '--qmp', qemu.socket, chain.top)).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining('not as the local file of that name'),
    });
  }
  expect(Object.keys(await qemu.bitmaps('middle'))).toEqual([]);
});

it('refuses an image of another mount namespace, where its path means another file', async () => {
  const chain = await chainWithGap();
  const elsewhere = await scratchFolder();
  for (const image of [chain.base, chain.middle, chain.top])
    await copyFile(image, join(elsewhere, basename(image)));
  const qemu = await startQemu(nodesOf(chain), undefined, undefined, [
    'unshare',
    '--mount',
    'sh',
    '-c',
    `mount --bind '${elsewhere}' '${chain.folder}' && exec "$@"`,
    'sh',
  ]);
  const refused = await bitmapTool('repair', '--qmp', qemu.socket, chain.top);
  expect(refused).toMatchObject({ exitCode: 4 });
  expect(Object.keys(await qemu.bitmaps('middle'))).toEqual([]);
});

it('does not change an image that another run has opened for writing', async () => {
  const chain = await chainWithGap();
  const qemu = await startQemu(nodesOf(chain));
  // The mark of a run that has not ended: this process.
  const mark = { node: 'base', name: `${await newRunName()}-0-writable` };
  await qemu.qmp.execute('block-dirty-bitmap-add', { ...mark, persistent: false, disabled: true });
  expect(await bitmapTool('add', '--qmp', qemu.socket, chain.base, 'x')).toMatchObject({
    exitCode: 5,
    stderr: expect.stringContaining('another run of this program changes it'),
  });
  await qemu.qmp.execute('block-dirty-bitmap-remove', mark);
  expect(await bitmapTool('add', '--qmp', qemu.socket, chain.base, 'x')).toMatchObject({ exitCode: 0 });
});

it('removes bitmaps of an image below the active one, and keeps its options', async () => {
  const chain = await chainWithGap();
  for (const name of ['x', 'y']) await qemuImg('bitmap', '--add', chain.base, name);
  const qemu = await startQemu(nodesOf(chain));
  const before = await optionsOf(qemu, 'base');
  expect(await bitmapTool('remove', '--qmp', qemu.socket, chain.base, 'x', 'y')).toMatchObject({
    exitCode: 0,
    stderr: '',
  });
  expect(await optionsOf(qemu, 'base')).toEqual(before);
  expect(Object.keys(await qemu.bitmaps('base'))).toEqual(['c1']);
  expect(await leftIn(qemu)).toEqual([]);
  await qemu.crash();
  expect(await qemuBitmaps(chain.base)).toEqual([{ name: 'c1', granularity: 65536, flags: ['auto'] }]);
  expect(await qemuCheck(chain.base)).toMatchObject({ errors: 0, leaks: 0 });
});

it('refuses, and changes nothing, if the options of the image are unknown', async () => {
  const chain = await chainWithGap();
  const qemu = await startQemu(qcow2Nodes('top', chain.top));
  const before = await qemu.bitmaps('top');
  const { exitCode, stderr } = await bitmapTool('repair', '--qmp', qemu.socket, '-n', 'c1', chain.top);
  expect(exitCode).toBe(4);
  expect(stderr).toContain('with which options QEMU has it open is not known for certain');
  expect(await qemu.bitmaps('top')).toEqual(before);
  expect(await leftIn(qemu)).toEqual([]);
});

it('refuses, and changes nothing, if another program uses the image', async () => {
  const chain = await chainWithGap();
  const qemu = await startQemu(nodesOf(chain));
  const other = await startQemu(qcow2Nodes('other', chain.middle, { 'read-only': true, backing: null }));
  const { exitCode, stderr } = await bitmapTool('repair', '--qmp', qemu.socket, '-n', 'c1', chain.top);
  expect(exitCode).toBe(4);
  expect(stderr).toContain('QEMU cannot open it for writing');
  expect(await optionsOf(qemu, 'middle')).toMatchObject({ ro: true });
  expect(await qemu.bitmaps('middle')).toEqual({});
  await other.stop();
  expect(await bitmapTool('repair', '--qmp', qemu.socket, '-n', 'c1', chain.top)).toMatchObject({
    exitCode: 0,
  });
});

const library = new URL('../../../dist/index.js', import.meta.url).href;

/** Repairs c1 in a process that is killed when it is about to send a command for the n-th time. */
async function repairKilledAt(command: string, occurrence: number, socket: string, image: string) {
  const script = `
    import { openQemu, repairRunning } from ${JSON.stringify(library)};
    const [command, occurrence, socket, image] = process.argv.slice(1);
    const qemu = await openQemu({ qmp: socket });
    let seen = 0;
    const execute = (name, args) => {
      if (name === command && ++seen === Number(occurrence)) process.kill(process.pid, 'SIGKILL');
      return qemu.qmp.execute(name, args);
    };
    await repairRunning({ ...qemu, qmp: { ...qemu.qmp, execute } }, [image], { names: ['c1'] });`;
  const args = ['--input-type=module', '--eval', script, command, String(occurrence), socket, image];
  return execa(process.execPath, args, { reject: false, stdin: 'ignore' });
}

it.each([
  // The first transaction copies a bitmap, to read its marks.
  ['before it adds the bitmap', 'transaction', 2],
  ['before it makes the image read-only', 'blockdev-reopen', 2],
])('gives back an image that a run killed %s had opened for writing', async (_, command, occurrence) => {
  const chain = await chainWithGap();
  const qemu = await startQemu(nodesOf(chain));
  const before = [await optionsOf(qemu, 'middle'), await optionsOf(qemu, 'middle-file')];
  const killed = await repairKilledAt(command, occurrence, qemu.socket, chain.top);
  expect(killed).toMatchObject({ signal: 'SIGKILL' });
  expect(await optionsOf(qemu, 'middle')).toMatchObject({ ro: false });
  await bitmapToolJson('list', '--qmp', qemu.socket, chain.top);
  expect([await optionsOf(qemu, 'middle'), await optionsOf(qemu, 'middle-file')]).toEqual(before);
  expect(await leftIn(qemu)).toEqual([]);
  await bitmapToolJson('repair', '--qmp', qemu.socket, '-n', 'c1', chain.top);
  await qemu.stop();
  expect(await qemuBitmaps(chain.middle)).toEqual([{ name: 'c1', granularity: 65536, flags: ['auto'] }]);
});
