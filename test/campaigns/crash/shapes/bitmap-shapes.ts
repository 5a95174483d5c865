/** Changes of different kinds, on images of different kinds. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { qemuImg, qemuIo } from '../../../support/qemu.ts';
import type { BitmapChange } from '../bitmap-plan.ts';
import type { Shape } from '../survival.ts';
import { buildImage, type Recipe } from './build.ts';
import { firstBitmapInUse, inTurn, payloadAtInSector } from './edits.ts';

const three: Recipe = {
  bitmaps: [
    ['first', 65536],
    ['second', 4096],
    ['third', 512],
  ],
  dirty: ['write -P 1 64k 128k', 'write -P 2 512k 64k', 'write -P 2 1000k 24k'],
};

function shape(name: string, change: BitmapChange, recipe: Recipe): Shape {
  return { name, change, build: (folder) => buildImage(folder, { io: ['write -P 3 0 64k'], ...recipe }) };
}

const addNew: BitmapChange = { store: [{ name: 'new', granularity: 4096, marks: 'allocated' }] };
const replaceSecond: BitmapChange = { store: [{ name: 'second', granularity: 65536, marks: 'random' }] };

const changes: [name: string, change: BitmapChange][] = [
  ['replaced', replaceSecond],
  ['replaced by a disabled one', { store: [{ ...replaceSecond.store![0]!, disabled: true }] }],
  ['added to', { store: [{ name: 'third', granularity: 512, marks: 'random', merge: true }] }],
  ['removed', { remove: ['second'] }],
  ['two removed', { remove: ['first', 'third'] }],
  ['all removed', { remove: ['first', 'second', 'third'] }],
  [
    'two more',
    {
      store: [
        { name: 'new', granularity: 65536, marks: 'allocated' },
        { name: 'a new one with a longer name', granularity: 512, marks: 'random', disabled: true },
      ],
    },
  ],
  [
    'one more, one replaced, one removed',
    { store: [...addNew.store!, ...replaceSecond.store!], remove: ['third'] },
  ],
  ['a name of 1023 bytes', { store: [{ name: 'n'.repeat(1023), granularity: 65536, marks: 'allocated' }] }],
];

const amongThree: Shape[] = changes.flatMap(([name, change]) => [
  shape(`of three bitmaps: ${name}`, change, three),
  shape(`of three bitmaps in clusters of 512: ${name}`, change, {
    ...three,
    clusterSize: 512,
    // 1023 bytes of name and three bitmaps make a directory of several clusters.
    backing: 'base.qcow2',
  }),
  shape(`of three bitmaps, payload in two sectors: ${name}`, change, {
    ...three,
    clusterSize: 4096,
    edit: payloadAtInSector(496),
  }),
]);

const inUse: Shape[] = [
  shape('beside a bitmap in use: one more', addNew, { ...three, edit: firstBitmapInUse }),
  shape('a bitmap in use removed', { remove: ['first'] }, { ...three, edit: firstBitmapInUse }),
  shape(
    'a bitmap in use replaced, payload in two sectors',
    { store: [{ name: 'first', granularity: 65536, marks: 'random' }] },
    { ...three, edit: inTurn(firstBitmapInUse, payloadAtInSector(504)) },
  ),
];

async function withSnapshots(folder: string): Promise<string> {
  const path = await buildImage(folder, { ...three, clusterSize: 4096, io: ['write -P 3 0 256k'] });
  await qemuImg('snapshot', '-c', 'one', path);
  await qemuIo(path, 'write -P 4 32k 64k', 'discard 128k 32k');
  await qemuImg('snapshot', '-c', 'two', path);
  await qemuIo(path, 'write -P 5 300k 20k');
  return path;
}

async function withDataFile(folder: string): Promise<string> {
  return await buildImage(folder, { ...three, options: [`data_file=${join(folder, 'image.data')}`] });
}

async function withLeaks(folder: string): Promise<string> {
  // Dropping a bitmaps extension that is not live leaks what it named: QEMU does so at its next read-write open.
  const path = await buildImage(folder, {
    ...three,
    edit: (image) => {
      image[88 + 7]! &= ~1;
    },
  });
  await qemuIo(path, 'write -P 5 700k 1k');
  return path;
}

/** Copied: making one asks QEMU to measure the machine, which it now and then refuses. */
async function encrypted(folder: string): Promise<string> {
  const path = join(folder, 'image.qcow2');
  await copyFile(new URL('../../../../fixtures/images/luks/disk.qcow2', import.meta.url), path);
  return path;
}

const kinds: Shape[] = [
  { name: 'internal snapshots, one more', change: addNew, build: withSnapshots },
  { name: 'internal snapshots, all removed', change: changes[5]![1], build: withSnapshots },
  { name: 'an external data file, one more', change: addNew, build: withDataFile },
  { name: 'an external data file, replaced', change: replaceSecond, build: withDataFile },
  { name: 'clusters leaked before, a first bitmap', change: addNew, build: withLeaks },
  { name: 'encrypted with LUKS, a first bitmap', change: addNew, build: encrypted, encrypted: true },
  shape('extended L2 entries, a first bitmap', addNew, { options: ['extended_l2=on'] }),
  shape('extended L2 entries, replaced', replaceSecond, { ...three, options: ['extended_l2=on'] }),
  shape('compressed and zero clusters, a first bitmap', addNew, {
    clusterSize: 4096,
    io: ['write -c -P 3 0 64k', 'write -z 64k 16k', 'write -P 2 128k 4k', 'write -z 128k 2k'],
  }),
  shape('preallocated, a first bitmap', addNew, { options: ['preallocation=metadata'] }),
  shape('lazy refcounts, closed cleanly, one more', addNew, { ...three, options: ['lazy_refcounts=on'] }),
  shape('a disk that ends within a granule, replaced', replaceSecond, {
    ...three,
    size: '1037312',
    dirty: ['write -P 1 64k 128k', 'write -P 2 1000k 13k'],
  }),
  shape('an all-dirty bitmap needs no clusters', addNew, { io: ['write -P 1 0 1M'] }),
  shape('a clean bitmap needs no clusters', addNew, { io: [] }),
];

export const bitmapShapes: Shape[] = [...amongThree, ...inUse, ...kinds];
