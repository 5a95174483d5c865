/** Measures one case: the tool and its peer in turns, so that a slow moment of the machine meets both. */

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BITMAP, emptyNode } from './cases.js';
import { craft } from './craft.js';
import { temporaryFolder } from './folders.js';
import { output, peakBytes, wallSeconds } from './measure.js';

/** @typedef {import('./cases.js').Case} Case */
/** @typedef {import('./cases.js').Paths} Paths */
/** @typedef {import('./report.js').Result} Result */
/** @typedef {import('./report.js').MemoryResult} MemoryResult */

/**
 * @param {Case} row
 * @param {string} tool
 * @param {{ quick: boolean, rounds: number | undefined }} options
 * @returns {Promise<Result>}
 */
export async function race(row, tool, { quick, rounds = row.rounds }) {
  const recipe = quick ? (row.quickImage ?? row.image) : row.image;
  // Metadata is small beside the disk: 1/64 of it leaves room for any.
  const folder = temporaryFolder(recipe && recipe.virtualSize * (recipe.share + 1 / 64));
  const paths = { tool, image: join(folder, 'disk.qcow2'), emptyScript: join(folder, 'empty.mjs') };
  writeFileSync(paths.emptyScript, '');
  if (recipe) craft(paths.image, recipe);

  const memory = row.memory && (await compareMemory(row, row.memory, paths));
  /** @type {number[]} */
  const oursSeconds = [];
  /** @type {number[]} */
  const peerSeconds = [];
  for (let round = 0; round < rounds; round++) {
    oursSeconds.push(await wallSeconds(row.ours(paths)));
    await takeBack(row, paths);
    peerSeconds.push(await wallSeconds(row.peer(paths)));
  }
  rmSync(folder, { recursive: true });

  const oursMedian = median(oursSeconds);
  const peerMedian = median(peerSeconds);
  const ratio = oursMedian / peerMedian;
  const target = quick && row.quickImage ? undefined : row.target;
  return {
    ...{ name: row.name, peerName: row.peerName, recipe, folder, oursSeconds, peerSeconds },
    ...{ oursMedian, peerMedian, ratio },
    ...(target === undefined ? {} : { target, reached: ratio <= target }),
    ...(memory ? { memory } : {}),
  };
}

/**
 * @param {Case} row @param {{ targetBytes: number }} memory @param {Paths} paths
 * @returns {Promise<MemoryResult | undefined>}
 */
async function compareMemory(row, { targetBytes }, paths) {
  const scratchFile = `${paths.emptyScript}.peak`;
  const oursBytes = await peakBytes(row.ours(paths), scratchFile);
  await takeBack(row, paths);
  const emptyNodeBytes = await peakBytes(emptyNode(paths), scratchFile);
  if (oursBytes === undefined || emptyNodeBytes === undefined) return undefined;
  const overEmptyNodeBytes = oursBytes - emptyNodeBytes;
  return { oursBytes, emptyNodeBytes, overEmptyNodeBytes, targetBytes, reached: oursBytes < targetBytes };
}

/** Makes sure that a run did its work, by QEMU's word, and undoes it for the next. @param {Case} row @param {Paths} paths */
async function takeBack({ createsBitmap }, { tool, image }) {
  if (!createsBitmap) return;
  const info = JSON.parse(await output(['qemu-img', 'info', '--output=json', image]));
  /** @type {{ name: string }[]} */
  const bitmaps = info['format-specific'].data.bitmaps ?? [];
  if (!bitmaps.some(({ name }) => name === BITMAP))
    throw new Error(`QEMU finds no bitmap '${BITMAP}' in ${image}`);
  await output([process.execPath, tool, 'remove', image, BITMAP]);
}

/** @param {readonly number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
