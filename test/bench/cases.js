/** What is measured against what, and how good it ought to be. A new case is a new row. */

/** @typedef {import('./craft.js').Recipe} Recipe */
/** @typedef {import('./measure.js').Command} Command */

/** @typedef {{ tool: string, image: string, emptyScript: string }} Paths */

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {Recipe} [image] made for this case
 * @property {Recipe} [quickImage] made instead with --quick; ratios mean little then, so no target counts
 * @property {(paths: Paths) => Command} ours
 * @property {(paths: Paths) => Command} peer
 * @property {string} peerName
 * @property {boolean} [createsBitmap] ours adds the bitmap BITMAP, which is checked and removed after each run
 * @property {number} [target] ours : peer at most, of the medians of wall time
 * @property {{ targetBytes: number }} [memory] measure the peak of ours too, beside an empty Node process
 * @property {number} rounds
 */

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
    target: 1 / 60,
    memory: { targetBytes: 160 * MiB },
    rounds: 5,
  },
  {
    name: 'create-from, about 100 clusters',
    image: { virtualSize: 16 * TiB, clusterSize: 64 * KiB, share: (100 * 64 * KiB) / (16 * TiB) },
    ours: createFromAllocated,
    peer: emptyNode,
    peerName: 'empty node',
    createsBitmap: true,
    memory: { targetBytes: 160 * MiB },
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
    memory: { targetBytes: 160 * MiB },
    rounds: 5,
  },
  {
    name: '--version',
    ours: ({ tool }) => [process.execPath, tool, '--version'],
    peer: emptyNode,
    peerName: 'empty node',
    target: 1.6,
    rounds: 30,
  },
  {
    name: 'list',
    image: { virtualSize: 64 * MiB, clusterSize: 64 * KiB, share: 0.5 },
    ours: ({ tool, image }) => [process.execPath, tool, 'list', image],
    peer: emptyNode,
    peerName: 'empty node',
    rounds: 30,
  },
];
