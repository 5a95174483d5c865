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
  const folder = temporaryFolder(recipe && Math.ceil(recipe.virtualSize * (recipe.share + 1 / 64)));
  /** @type {Paths} */
  const paths = {
    tool,
    folder,
    image: join(folder, 'disk.qcow2'),
    layers: [],
    other: join(folder, 'other'),
    emptyScript: join(folder, 'empty.mjs'),
    l2Offset: 0,
    l2Bytes: 0,
  };
  writeFileSync(paths.emptyScript, '');
  if (recipe) Object.assign(paths, craftChain(folder, recipe, row.layers ?? 0));
  row.prepare?.(paths, quick);
  if (row.marks) {
    await output([process.execPath, tool, 'create-from', '--allocated', '--name', BITMAP, paths.image]);
  }

  const memory = row.memory && (await compareMemory(row, row.memory, paths));
  /** @type {number[]} */
  const oursSeconds = [];
  /** @type {number[]} */
  const peerSeconds = [];
  for (let round = 0; round < rounds; round++) {
    if (row.coldCache) await dropFromCache(paths.image);
    oursSeconds.push(await wallSeconds(row.ours(paths)));
    await takeBack(row, paths);
    if (round >= (row.peerRounds ?? rounds)) continue;
    if (row.coldCache) await dropFromCache(paths.image);
    peerSeconds.push(await wallSeconds(row.peer(paths)));
    if (row.peerCreatesBitmap) await takeBack(row, paths);
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
 * @param {string} folder @param {import('./craft.js').Recipe} recipe @param {number} layers above the base
 * @returns {Partial<Paths>}
 */
function craftChain(folder, recipe, layers) {
  const names = Array.from({ length: layers }, (_, index) => `layer-${index}.qcow2`);
  const all = [...names, 'disk.qcow2'];
  /** @type {import('./craft.js').Crafted | undefined} */
  let top;
  for (const [index, name] of all.entries()) {
    const below = all[index - 1];
    const backing = below === undefined ? {} : { backing: { name: below, format: 'qcow2' } };
    top = craft(join(folder, name), { ...recipe, ...backing, seed: index + 1 });
  }
  const { l2Offset = 0, l2Tables = 0 } = top ?? {};
  const paths = all.map((name) => join(folder, name));
  return { layers: paths, image: paths.at(-1) ?? '', l2Offset, l2Bytes: l2Tables * recipe.clusterSize };
}

/**
 * @param {Case} row @param {{ targetBytes: number }} memory @param {Paths} paths
 * @returns {Promise<MemoryResult | undefined>}
 */
async function compareMemory(row, { targetBytes }, paths) {
  const scratchFile = `${paths.emptyScript}.peak`;
  const oursBytes = await peakBytes(
    /** @type {import('./measure.js').Command} */ (row.ours(paths)),
    scratchFile,
  );
  await takeBack(row, paths);
  const emptyNodeBytes = await peakBytes(emptyNode(paths), scratchFile);
  if (oursBytes === undefined || emptyNodeBytes === undefined) return undefined;
  const overEmptyNodeBytes = oursBytes - emptyNodeBytes;
  return {
    oursBytes,
    emptyNodeBytes,
    overEmptyNodeBytes,
    targetBytes,
    reached: overEmptyNodeBytes <= targetBytes,
  };
}

/** By posix_fadvise(2), which needs no privilege. @param {string} image */
async function dropFromCache(image) {
  await output(['dd', 'status=none', `if=${image}`, 'iflag=nocache', 'count=0']);
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
