/** Measures time and memory against the bytes of L2 tables, from 1 MiB on, for the tool and for `qemu-img map`. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { craft } from './craft.js';
import { temporaryFolder } from './folders.js';
import { secondsAndPeakBytes } from './measure.js';

/** @typedef {{ seconds: number, peakBytes: number }} Measured */
/** @typedef {{ tableBytes: number, ours: Measured, qemu: Measured }} Point */

const MiB = 2 ** 20;
const CLUSTER = 64 * 2 ** 10;
/** Of the clusters that are allocated, at random: at 64 TiB the file is still shorter than ext4 allows. */
const SHARE = 0.2;

/** @param {string} tool @param {number} largestMiB @returns {Promise<Point[]>} */
export async function measureGrowth(tool, largestMiB) {
  const points = [];
  for (let tableBytes = MiB; tableBytes <= largestMiB * MiB; tableBytes *= 2) {
    console.error(`measuring ${tableBytes / MiB} MiB of tables …`);
    const virtualSize = (tableBytes / 8) * CLUSTER;
    const folder = temporaryFolder(Math.ceil(virtualSize * (SHARE + 1 / 64)));
    const image = join(folder, 'disk.qcow2');
    craft(image, { virtualSize, clusterSize: CLUSTER, share: SHARE });
    const scratchFile = join(folder, 'peak');
    const create = /** @type {const} */ ([process.execPath, tool, 'create-from', '--allocated', image]);
    const ours = await secondsAndPeakBytes(create, scratchFile);
    const qemu = await secondsAndPeakBytes(['qemu-img', 'map', '--output=json', image], scratchFile);
    points.push({ tableBytes, ours, qemu });
    rmSync(folder, { recursive: true });
  }
  return points;
}
