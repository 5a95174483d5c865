/** Images with different free clusters, and with different needs for new refcount blocks. */
import { stat } from 'node:fs/promises';
import { qemuImg, qemuIo } from '../../../support/qemu.ts';
import type { BitmapChange } from '../bitmap-plan.ts';
import type { Shape } from '../survival.ts';
import { buildImage, type Recipe } from './build.ts';
import { unknownExtensionLast } from './edits.ts';

const kib = 1024;
const mib = 1024 * kib;

/** Clusters of 512 bytes and refcounts of 8: a block counts 64 clusters, a table of one cluster 64 blocks. */
const tiny = { clusterSize: 512, refcountBits: 64 } as const;

function adding(granularity: number, ...names: string[]): BitmapChange {
  return { store: names.map((name) => ({ name, granularity, marks: 'random' })) };
}

function shape(name: string, change: BitmapChange, recipe: Recipe, stepsAbout: string[] = []): Shape {
  return { name, change, build: (folder) => buildImage(folder, recipe), stepsAbout };
}

function newBlocks(...indexes: number[]): string[] {
  return indexes.flatMap((index) => [`new refcount block ${index}`, `refcount table entry ${index}`]);
}

const eachWidth: Shape[] = [1, 2, 4, 8, 16, 32, 64].flatMap((refcountBits) => [
  shape(`refcounts of ${refcountBits} bits, a first bitmap`, adding(4096, 'new'), {
    clusterSize: 4096,
    refcountBits,
    io: ['write -P 1 0 300k'],
  }),
  shape(`refcounts of ${refcountBits} bits, replaced`, adding(512, 'old'), {
    clusterSize: 512,
    refcountBits,
    bitmaps: [['old', 512]],
    dirty: ['write -P 1 0 31k', 'write -P 1 900k 11k'],
  }),
]);

/** The directory takes hundreds of clusters side by side: all that some blocks count, so that they stand elsewhere. */
const longDirectory: BitmapChange = {
  store: Array.from({ length: 130 }, (_, index) => ({
    name: `${index}-`.padEnd(1023, 'n'),
    granularity: 2 ** 20,
    marks: 'allocated',
  })),
};

const blocks: Shape[] = [
  shape(
    'a refcount block to be added',
    adding(512, 'new'),
    { ...tiny, size: '2M', io: ['write -P 1 0 29k'] },
    newBlocks(1),
  ),
  shape(
    'a refcount block to be added, with a backing file',
    adding(512, 'new'),
    { ...tiny, size: '2M', io: ['write -P 1 0 29k'], backing: 'base.qcow2' },
    newBlocks(1),
  ),
  shape(
    'two refcount blocks to be added',
    adding(512, 'one', 'two', 'three', 'four'),
    { ...tiny, size: '64M', io: ['write -P 1 0 20k'] },
    newBlocks(2, 3),
  ),
  shape(
    'many refcount blocks to be added',
    adding(512, 'one', 'two', 'three', 'four'),
    { ...tiny, size: '128M', io: ['write -P 1 0 20k'] },
    newBlocks(2, 3, 4, 5),
  ),
  shape(
    'a refcount block to be added, as free space between data does not suffice',
    adding(512, 'one', 'two', 'three', 'four', 'five', 'six', 'seven'),
    { ...tiny, size: '64M', io: ['write -P 1 0 90k', 'discard 8k 70k'] },
    newBlocks(4),
  ),
  shape(
    'refcount blocks that a long directory leaves no room for',
    longDirectory,
    { ...tiny, io: ['write -P 1 0 20k'] },
    newBlocks(1, 2, 3, 4, 5),
  ),
];

/** Writes until the file ends so near to what its refcount table can count that a bitmap makes it grow. */
function nearlyFull(freeClusters: number, recipe: Recipe = {}): Shape['build'] {
  const capacityBytes = 64 * 64 * 512;
  return async (folder) => {
    const path = await buildImage(folder, { ...tiny, size: '4M', io: ['write -P 5 0 1900k'], ...recipe });
    for (let at = 1900 * kib; ; at += 512) {
      const { size } = await stat(path);
      if (size > capacityBytes) throw new Error('QEMU let the refcount table grow');
      if (size >= capacityBytes - freeClusters * 512) return path;
      const left = Math.ceil((capacityBytes - freeClusters * 512 - size) / 512);
      const step = left > 16 ? Math.floor(left / 2) : 1;
      await qemuIo(path, `write -P 6 ${at} ${step * 512}`);
      at += (step - 1) * 512;
    }
  };
}

const table: Shape[] = [
  { name: 'the refcount table must move', change: adding(512, 'new', 'more'), build: nearlyFull(2) },
  {
    name: 'the refcount table must move, nothing free below its end',
    change: adding(512, 'new'),
    build: nearlyFull(0),
  },
  {
    name: 'the refcount table must move, some clusters still fit',
    change: adding(512, 'new', 'second', 'third'),
    build: nearlyFull(6),
  },
  {
    name: 'the refcount table must move, and so must the backing file name',
    change: adding(512, 'new'),
    build: nearlyFull(2, { backing: 'base.qcow2' }),
  },
  {
    name: 'the refcount table must move, bitmaps there already',
    change: adding(512, 'old', 'new'),
    build: nearlyFull(2, { bitmaps: [['old', 512]] }),
  },
  {
    name: 'the refcount table must move, an unknown extension there',
    change: adding(512, 'new'),
    build: nearlyFull(2, { edit: unknownExtensionLast(20) }),
  },
].map((each) => ({ ...each, stepsAbout: ['refcount_table_offset and refcount_table_clusters'] }));

async function fragmented(folder: string): Promise<string> {
  const path = await buildImage(folder, {
    ...tiny,
    size: '4M',
    io: ['write -P 1 0 200k', ...Array.from({ length: 30 }, (_, hole) => `discard ${hole * 6144} 1536`)],
    bitmaps: [
      ['first', 512],
      ['second', 4096],
      ['third', 512],
    ],
    dirty: ['write -P 2 300k 20k', 'write -P 2 1M 700', 'write -P 2 3M 50k'],
  });
  await qemuImg('bitmap', '--remove', path, 'second');
  return path;
}

const fragments: Shape[] = [
  { name: 'free space in fragments, two more', change: adding(512, 'new', 'newer'), build: fragmented },
  {
    name: 'free space in fragments, one replaced and one removed',
    change: { ...adding(512, 'third'), remove: ['first'] },
    build: fragmented,
  },
  shape(
    'a bitmap table of several clusters',
    { store: [{ name: 'new', granularity: 512, marks: 'sparse' }] },
    {
      ...tiny,
      size: `${512 * mib}`,
      io: ['write -P 1 0 20k'],
    },
  ),
  shape(
    'a bitmap table of several clusters in fragments',
    { store: [{ name: 'new', granularity: 512, marks: 'sparse' }] },
    {
      ...tiny,
      size: `${512 * mib}`,
      io: ['write -P 1 0 60k', 'discard 4k 512', 'discard 8k 1k', 'discard 16k 1536', 'discard 30k 4k'],
    },
  ),
];

export const refcountShapes: Shape[] = [...eachWidth, ...blocks, ...table, ...fragments];
