/** What is measured against what, and how good it ought to be. A new case is a new row. */

/** @typedef {import('./craft.js').Recipe} Recipe */
/** @typedef {import('./measure.js').Command} Command */

/** @typedef {import('./measure.js').Work} Work */

/**
 * @typedef {object} Paths
 * @property {string} tool
 * @property {string} folder
 * @property {string} image
 * @property {readonly string[]} layers of a chain, the base first, `image` last
 * @property {string} other a second image, for those that compare
 * @property {string} emptyScript
 * @property {number} l2Offset where the L2 tables of `image` begin
 * @property {number} l2Bytes
 */

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {Recipe} [image] made for this case
 * @property {Recipe} [quickImage] made instead with --quick; ratios mean little then, so no target counts
 * @property {number} [layers] above a base of the same kind; each is a random one of its own
 * @property {(paths: Paths, quick: boolean) => void} [prepare] makes the images where no recipe can
 * @property {(paths: Paths) => Work} ours
 * @property {(paths: Paths) => Work} peer
 * @property {string} peerName
 * @property {boolean} [createsBitmap] ours adds the bitmap BITMAP, which is checked and removed after each run
 * @property {boolean} [peerCreatesBitmap] so does the peer
 * @property {boolean} [marks] the image has a bitmap BITMAP of what it holds before the first run
 * @property {boolean} [coldCache] the image is dropped from the page cache before each run
 * @property {number} [peerRounds] where it takes minutes
 * @property {number} [target] ours : peer at most, of the medians of wall time
 * @property {{ targetBytes: number }} [memory] measure the peak of ours too, over that of an empty Node process
 * @property {number} rounds
 */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { craft } from './craft.js';
import { writePair } from './pair.js';

export const BITMAP = 'bench';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
const TiB = 2 ** 40;

/** @param {Paths} paths @returns {Command} */
const createFromAllocated = ({ tool, image }) =>
  /** @type {const} */ ([process.execPath, tool, 'create-from', '--allocated', '--name', BITMAP, image]);

/**
 * Data clusters of crafted images are holes, and `qemu-img map` asks the file system about each hole. On data that is
 * really written it needs about 0.7 of the time (16 GiB, half allocated, QEMU 7.2): read its ratios with that in mind.
 * @param {Paths} paths @returns {Command}
 */
const qemuImgMap = ({ image }) => ['qemu-img', 'map', '--output=json', image];

/** @param {Paths} paths @returns {Command} */
export const emptyNode = ({ emptyScript }) => [process.execPath, emptyScript];

/** @param {Paths} paths @returns {Command} */
const ddOfTables = ({ image, l2Offset, l2Bytes }) => [
  ...['dd', 'status=none', `if=${image}`, 'of=/dev/null', 'bs=1M'],
  ...['iflag=skip_bytes,count_bytes', `skip=${l2Offset}`, `count=${l2Bytes}`],
];

/** @param {string} tool @param {string} image @returns {Command} */
const tryCreateFrom = (tool, image) => [
  ...[process.execPath, tool, 'create-from', '--dry-run', '--allocated', '--name', BITMAP, image],
];

/** @param {Paths} paths @param {string[]} options @returns {Command} */
const nbdMap = ({ image }, ...options) => [
  ...['nbdinfo', ...options, `--map=qemu:dirty-bitmap:${BITMAP}`, '--'],
  ...['[', 'qemu-nbd', '-r', '--format=qcow2', '-B', BITMAP, image, ']'],
];

/** @param {string} folder */
const manyImages = (folder) => Array.from({ length: 200 }, (_, index) => join(folder, `${index}.qcow2`));

/** @type {Recipe} */
const SMALL = { virtualSize: 64 * MiB, clusterSize: 64 * KiB, share: 0.5 };

const HALF = {
  image: { virtualSize: TiB, clusterSize: 64 * KiB, share: 0.5 },
  quickImage: { virtualSize: 16 * GiB, clusterSize: 64 * KiB, share: 0.5 },
};

/** @type {readonly Case[]} */
export const cases = [
  {
    name: 'create-from, half allocated',
    image: { virtualSize: TiB, clusterSize: 64 * KiB, share: 0.5 },
    quickImage: { virtualSize: 16 * GiB, clusterSize: 64 * KiB, share: 0.5 },
    ours: createFromAllocated,
    peer: qemuImgMap,
    peerName: 'qemu-img map',
    createsBitmap: true,
    target: 1 / 90,
    memory: { targetBytes: 24 * MiB },
    rounds: 5,
  },
  {
    name: 'create-from, about 100 clusters',
    image: { virtualSize: 16 * TiB, clusterSize: 64 * KiB, share: (100 * 64 * KiB) / (16 * TiB) },
    ours: createFromAllocated,
    peer: emptyNode,
    peerName: 'empty node',
    createsBitmap: true,
    target: 1.7,
    memory: { targetBytes: 98 * MiB },
    rounds: 15,
  },
  {
    name: 'create-from, all allocated',
    image: { virtualSize: 64 * TiB, clusterSize: 2 * MiB, share: 1 },
    quickImage: { virtualSize: TiB, clusterSize: 2 * MiB, share: 1 },
    ours: createFromAllocated,
    peer: qemuImgMap,
    peerName: 'qemu-img map',
    createsBitmap: true,
    target: 1 / 8,
    memory: { targetBytes: 64 * MiB },
    rounds: 5,
  },
  {
    name: '--version',
    ours: ({ tool }) => [process.execPath, tool, '--version'],
    peer: emptyNode,
    peerName: 'empty node',
    target: 1.3,
    rounds: 30,
  },
  {
    name: 'list',
    image: { virtualSize: 64 * MiB, clusterSize: 64 * KiB, share: 0.5 },
    ours: ({ tool, image }) => [process.execPath, tool, 'list', image],
    peer: emptyNode,
    peerName: 'empty node',
    target: 1.25,
    rounds: 30,
  },
  {
    name: 'create-from, small image',
    image: SMALL,
    ours: createFromAllocated,
    peer: emptyNode,
    peerName: 'empty node',
    createsBitmap: true,
    target: 1.35,
    rounds: 30,
  },
  {
    name: 'map --json, half allocated',
    ...HALF,
    ours: ({ tool, image }) => [process.execPath, tool, 'map', '--json', image],
    peer: qemuImgMap,
    peerName: 'qemu-img map',
    target: 1 / 6,
    rounds: 3,
  },
  {
    name: 'map, half allocated',
    ...HALF,
    ours: ({ tool, image }) => [process.execPath, tool, 'map', image],
    peer: ({ image }) => ['qemu-img', 'map', image],
    peerName: 'qemu-img map',
    target: 1 / 6,
    rounds: 3,
  },
  {
    name: 'dump --json, half marked',
    ...HALF,
    marks: true,
    ours: ({ tool, image }) => [process.execPath, tool, 'dump', '--json', image, BITMAP],
    peer: (paths) => nbdMap(paths, '--json'),
    peerName: 'nbdinfo --map',
    target: 1 / 6,
    rounds: 3,
  },
  {
    name: 'dump, half marked',
    ...HALF,
    marks: true,
    ours: ({ tool, image }) => [process.execPath, tool, 'dump', image, BITMAP],
    peer: (paths) => nbdMap(paths),
    peerName: 'nbdinfo --map',
    target: 1 / 6,
    rounds: 3,
  },
  {
    name: 'create-from, data in random order',
    prepare({ image, other }, quick) {
      const { image: whole, quickImage } = HALF;
      const recipe = quick ? quickImage : whole;
      craft(image, { ...recipe, randomOrder: true });
      craft(other, recipe);
    },
    ours: ({ tool, image }) => tryCreateFrom(tool, image),
    peer: ({ tool, other }) => tryCreateFrom(tool, other),
    peerName: 'the same in order',
    target: 2,
    rounds: 9,
  },
  {
    name: 'create-from, 8 GiB of tables, uncached',
    image: { virtualSize: 64 * TiB, clusterSize: 64 * KiB, share: 1 / 8 },
    quickImage: { virtualSize: TiB, clusterSize: 64 * KiB, share: 1 / 8 },
    coldCache: true,
    ours: ({ tool, image }) => tryCreateFrom(tool, image),
    peer: ddOfTables,
    peerName: 'dd of the L2 tables',
    target: 1.2,
    rounds: 3,
  },
  {
    name: 'check, 200 images',
    prepare({ folder }) {
      for (const image of manyImages(folder)) craft(image, SMALL);
    },
    ours: ({ tool, folder }) => [process.execPath, tool, 'check', ...manyImages(folder)],
    peer: ({ folder }) => ({ each: manyImages(folder).map((image) => ['qemu-img', 'check', image]) }),
    peerName: 'qemu-img check',
    target: 1 / 3,
    rounds: 3,
  },
  {
    name: 'create-from, against the detour',
    image: { virtualSize: 64 * GiB, clusterSize: 64 * KiB, share: 0.5 },
    quickImage: { virtualSize: GiB, clusterSize: 64 * KiB, share: 0.5 },
    ours: createFromAllocated,
    peer: ({ image }) => [process.execPath, script('detour.js'), image, BITMAP],
    peerName: 'map, write -z, merge',
    createsBitmap: true,
    peerCreatesBitmap: true,
    peerRounds: 1,
    target: 1 / 400,
    rounds: 5,
  },
  {
    name: 'createFrom in a running process',
    image: { virtualSize: TiB, clusterSize: 64 * KiB, share: 0.5 },
    quickImage: { virtualSize: 16 * GiB, clusterSize: 64 * KiB, share: 0.5 },
    ours: ({ image }) => ({ timesItself: [process.execPath, script('in-process.js'), image, BITMAP] }),
    peer: ddOfTables,
    peerName: 'dd of the L2 tables',
    createsBitmap: true,
    target: 3,
    rounds: 9,
  },
  {
    name: 'createFrom in a running process, second call',
    image: { virtualSize: TiB, clusterSize: 64 * KiB, share: 0.5 },
    quickImage: { virtualSize: 16 * GiB, clusterSize: 64 * KiB, share: 0.5 },
    ours: ({ image }) => ({
      timesItself: [process.execPath, script('in-process.js'), image, BITMAP, 'again'],
    }),
    peer: ddOfTables,
    peerName: 'dd of the L2 tables',
    createsBitmap: true,
    target: 3,
    rounds: 9,
  },
  {
    name: 'create-from --above, 20 layers',
    image: { virtualSize: 64 * GiB, clusterSize: 64 * KiB, share: 0.05 },
    quickImage: { virtualSize: GiB, clusterSize: 64 * KiB, share: 0.05 },
    layers: 20,
    ours: ({ tool, image, layers }) => [
      ...[process.execPath, tool, 'create-from', '--dry-run', '--allocated'],
      ...['--above', layers[0] ?? '', '--name', BITMAP, image],
    ],
    peer: ({ tool, layers }) => ({
      each: layers
        .slice(1)
        .map((layer) => [
          ...[process.execPath, tool, 'create-from', '--dry-run', '--allocated', '--name', BITMAP, layer],
        ]),
    }),
    peerName: 'each layer by itself',
    target: 1,
    rounds: 5,
  },
  {
    name: 'map, 20 layers',
    image: { virtualSize: 64 * GiB, clusterSize: 64 * KiB, share: 0.05 },
    quickImage: { virtualSize: GiB, clusterSize: 64 * KiB, share: 0.05 },
    layers: 20,
    ours: ({ tool, image }) => [process.execPath, tool, 'map', '--json', image],
    peer: ({ tool, layers }) => ({
      each: layers.map((layer) => [process.execPath, tool, 'map', '--json', '--layer', layer]),
    }),
    peerName: 'each layer by itself',
    target: 1,
    rounds: 5,
  },
  {
    name: 'scattered tables, 2 ms a read',
    image: { virtualSize: 2 * TiB, clusterSize: 64 * KiB, share: 1 / 64, scattered: true },
    quickImage: { virtualSize: 128 * GiB, clusterSize: 64 * KiB, share: 1 / 64, scattered: true },
    ours: ({ tool, image }) => ({ timesItself: slowStorage(tool, image, '8') }),
    peer: ({ tool, image }) => ({ timesItself: slowStorage(tool, image, '1') }),
    peerName: 'one read at a time',
    target: 1 / 6,
    rounds: 3,
  },
  {
    name: 'check',
    image: { virtualSize: TiB, clusterSize: 64 * KiB, share: 0.5 },
    quickImage: { virtualSize: 16 * GiB, clusterSize: 64 * KiB, share: 0.5 },
    ours: ({ tool, image }) => [process.execPath, tool, 'check', image],
    peer: ({ image }) => ['qemu-img', 'check', image],
    peerName: 'qemu-img check',
    target: 1 / 2,
    rounds: 5,
  },
  {
    name: 'create-from --qmp, half allocated',
    image: { virtualSize: TiB, clusterSize: 64 * KiB, share: 0.5 },
    quickImage: { virtualSize: 16 * GiB, clusterSize: 64 * KiB, share: 0.5 },
    ours: ({ tool, image }) => ({ timesItself: runningQemu('job', tool, image) }),
    peer: ({ tool, image }) => ({ timesItself: runningQemu('nbdinfo', tool, image) }),
    peerName: 'nbdinfo --map',
    createsBitmap: true,
    target: 0.8,
    rounds: 3,
  },
  {
    name: 'create-from --compare, 4 GiB',
    prepare: ({ image, other }, quick) => writePair(other, image, quick ? 256 * MiB : 4 * GiB),
    ours: ({ tool, image, other }) => [
      ...[process.execPath, tool, 'create-from', '--dry-run', '--compare', other, '--name', BITMAP, image],
    ],
    peer: ({ image, other }) => ['sh', '-c', 'qemu-img compare "$0" "$1"; test $? = 1', image, other],
    peerName: 'qemu-img compare',
    target: 1.2,
    rounds: 3,
  },
];

/** @param {string} name of a script beside this one */
function script(name) {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** @param {'job' | 'nbdinfo'} work @param {string} tool @param {string} image @returns {Command} */
function runningQemu(work, tool, image) {
  return [process.execPath, script('running.js'), work, tool, image];
}

/** @param {string} tool @param {string} image @param {string} threads @returns {Command} */
function slowStorage(tool, image, threads) {
  return [process.execPath, script('slow-storage.js'), tool, image, threads];
}
