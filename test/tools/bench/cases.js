/** What is measured against what, and how good it ought to be. A new case is a new row. */

/** @typedef {import('./craft.js').Recipe} Recipe */
/** @typedef {import('./measure.js').Command} Command */

/** @typedef {import('./measure.js').Work} Work */

/**
 * @typedef {object} Paths
 * @property {string} tool
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
 * @property {number} [peerRounds] where it takes minutes
 * @property {number} [target] ours : peer at most, of the medians of wall time
 * @property {{ targetBytes: number }} [memory] measure the peak of ours too, over that of an empty Node process
 * @property {number} rounds
 */

import { fileURLToPath } from 'node:url';
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
    target: 1 / 80,
    memory: { targetBytes: 66 * MiB },
    rounds: 5,
  },
  {
    name: 'create-from, about 100 clusters',
    image: { virtualSize: 16 * TiB, clusterSize: 64 * KiB, share: (100 * 64 * KiB) / (16 * TiB) },
    ours: createFromAllocated,
    peer: emptyNode,
    peerName: 'empty node',
    createsBitmap: true,
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
    memory: { targetBytes: (64 + 128) * MiB },
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
    target: 1.6,
    rounds: 30,
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
    peer: ({ image, l2Offset, l2Bytes }) => [
      ...['dd', 'status=none', `if=${image}`, 'of=/dev/null', 'bs=1M'],
      ...['iflag=skip_bytes,count_bytes', `skip=${l2Offset}`, `count=${l2Bytes}`],
    ],
    peerName: 'dd of the L2 tables',
    createsBitmap: true,
    target: 4,
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

/** @param {string} tool @param {string} image @param {string} threads @returns {Command} */
function slowStorage(tool, image, threads) {
  return [process.execPath, script('slow-storage.js'), tool, image, threads];
}
