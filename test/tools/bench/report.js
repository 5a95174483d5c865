/** Prints what was measured as a table for people; the JSON form is the plain result objects. */

/** @typedef {import('./cases.js').Case} Case */

/**
 * @typedef {object} Result
 * @property {string} name
 * @property {string} peerName
 * @property {import('./craft.js').Recipe | undefined} recipe of the image
 * @property {string} folder where the image was
 * @property {number[]} oursSeconds each round's wall time, as are the peer's
 * @property {number[]} peerSeconds
 * @property {number} oursMedian seconds, as is the peer's
 * @property {number} peerMedian
 * @property {number} ratio ours : peer, of the medians
 * @property {number} [target]
 * @property {boolean} [reached]
 * @property {MemoryResult} [memory]
 */

/**
 * @typedef {object} MemoryResult peak resident bytes
 * @property {number} oursBytes
 * @property {number} emptyNodeBytes
 * @property {number} overEmptyNodeBytes
 * @property {number} targetBytes
 * @property {boolean} reached
 */

/** Columns of text, at the left; numbers follow. */
const TEXTS = 3;
const HEADINGS = ['case', 'disk / clusters', 'peer', 'ours', 'peer', 'ratio', 'target', 'reached'];

/** @param {import('./machine.js').Machine} machine */
export function machineLine({ cpu, cores, memoryBytes, platform, node, qemu }) {
  const memory = `${Math.round(memoryBytes / 2 ** 30)} GiB`;
  return `${cpu}, ${cores} cores, ${memory}, ${platform}, Node ${node.slice(1)}, QEMU ${qemu}`;
}

/** @param {readonly Result[]} results */
export function table(results) {
  const rows = [HEADINGS, ...results.flatMap((result) => [timeRow(result), ...memoryRow(result)])];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (/** @type {readonly string[]} */ row) =>
    row
      .map((cell, column) =>
        column < TEXTS ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ');
  return rows.map(line).join('\n');
}

/** @param {Result} result */
function timeRow({ name, recipe, peerName, oursMedian, peerMedian, ratio, target, reached }) {
  return [
    ...[name, recipe ? `${size(recipe.virtualSize)} / ${size(recipe.clusterSize)}` : '', peerName],
    ...[seconds(oursMedian), seconds(peerMedian), fraction(ratio)],
    ...[target === undefined ? '' : `≤ ${fraction(target)}`, yesOrNo(reached)],
  ];
}

/** @param {Result} result */
function memoryRow({ memory }) {
  if (!memory) return [];
  const { oursBytes, emptyNodeBytes, overEmptyNodeBytes, targetBytes, reached } = memory;
  return [
    [
      ...['  peak memory', '', 'empty node', mebibytes(oursBytes), mebibytes(emptyNodeBytes)],
      ...[`+${mebibytes(overEmptyNodeBytes)}`, `≤ +${mebibytes(targetBytes)}`, yesOrNo(reached)],
    ],
  ];
}

/** @param {boolean | undefined} reached */
const yesOrNo = (reached) => (reached === undefined ? '' : reached ? 'yes' : 'no');

/** @param {number} value */
const seconds = (value) => (value < 1 ? `${(value * 1000).toFixed(1)} ms` : `${value.toFixed(2)} s`);

/** @param {number} bytes a round number of binary units */
function size(bytes) {
  const power = Math.floor(Math.log2(bytes) / 10);
  return `${bytes / 1024 ** power} ${['bytes', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}

/** @param {number} bytes */
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** @param {number} ratio */
const fraction = (ratio) =>
  ratio < 0.5 ? `1/${(1 / ratio).toFixed(1).replace(/\.0$/, '')}` : ratio.toFixed(2);
