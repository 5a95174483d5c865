/**
 * Writes a valid, huge and sparse qcow2 v3 image in seconds, independent of QEMU and of the tool under test.
 *
 * In the file: header | refcount table | refcount blocks | L1 table | L2 tables | data, every cluster with refcount 1,
 * the data clusters as holes. Scattered tables have a data cluster behind each. Field names and byte numbers are those of QEMU's docs/interop/qcow2.txt.
 */

import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { eachChosen, shuffled } from './choice.js';

/**
 * @typedef {object} Recipe
 * @property {number} virtualSize bytes; the last cluster may be partial
 * @property {number} clusterSize bytes, a power of two
 * @property {number} share probability, 0…1, that a guest cluster is allocated
 * @property {number} [seed] of that choice
 * @property {boolean} [scattered] no two L2 tables lie side by side; needs a data cluster for each
 * @property {boolean} [randomOrder] data clusters stand in random order, as on a disk that was written at random
 * @property {{ name: string, format: string }} [backing]
 */

/** @typedef {{ dataClusters: number, l2Tables: number, l2Offset: number, fileBytes: number }} Crafted */

/** @typedef {ReturnType<typeof layOut>} Layout */

const HEADER_BYTES = 104;
const ENTRY_BYTES = 8;
const REFCOUNT_BYTES = 2;
const BACKING_FORMAT = 0xe2792aca;
/** Bit 63 of an L1 or L2 entry, as seen in its upper 32 bits. */
const COPIED = 0x8000_0000;

/** @param {number} amount @param {number} unit */
const divideUp = (amount, unit) => Math.ceil(amount / unit);

/**
 * @param {string} path of a file that must not exist yet
 * @param {Recipe} recipe
 * @returns {Crafted}
 */
export function craft(path, recipe) {
  const layout = layOut(recipe);
  const fileBytes = layout.clusters * recipe.clusterSize;
  const file = openSync(path, 'wx');
  try {
    ftruncateSync(file, fileBytes); // first, as it fails where the file system has no room for so long a file
    writeSync(file, header(recipe, layout));
    writeRefcounts(file, recipe, layout);
    writeMapping(file, recipe, layout);
    fsyncSync(file); // or the first flush that is measured would pay for these writes
  } finally {
    closeSync(file);
  }
  const { dataClusters, l2Tables, l2At } = layout;
  return { dataClusters, l2Tables, l2Offset: l2At * recipe.clusterSize, fileBytes };
}

/** @param {Recipe} recipe @param {(guestCluster: number) => void} visit */
function eachAllocated({ virtualSize, clusterSize, share, seed = 1 }, visit) {
  eachChosen({ clusterCount: divideUp(virtualSize, clusterSize), share, seed }, visit);
}

/** Counts what must be stored and gives each part its place, in clusters. @param {Recipe} recipe */
function layOut(recipe) {
  const { clusterSize } = recipe;
  const l2Entries = clusterSize / ENTRY_BYTES;
  const l1Entries = divideUp(recipe.virtualSize, clusterSize * l2Entries);
  const l1Clusters = divideUp(l1Entries * ENTRY_BYTES, clusterSize);
  let dataClusters = 0;
  let l2Tables = 0;
  let lastL1Index = -1;
  eachAllocated(recipe, (guestCluster) => {
    const l1Index = Math.floor(guestCluster / l2Entries);
    if (l1Index !== lastL1Index) l2Tables++;
    lastL1Index = l1Index;
    dataClusters++;
  });

  // Refcount table and blocks count themselves too: grow them until they suffice.
  let refcountBlocks = 0;
  let refcountTableClusters = 0;
  let clusters = 0;
  for (let needed = 1; needed > refcountBlocks; ) {
    refcountBlocks = needed;
    refcountTableClusters = divideUp(refcountBlocks * ENTRY_BYTES, clusterSize);
    clusters = 1 + refcountTableClusters + refcountBlocks + l1Clusters + l2Tables + dataClusters;
    needed = divideUp(clusters * REFCOUNT_BYTES, clusterSize);
  }

  const refcountBlocksAt = 1 + refcountTableClusters;
  const l1At = refcountBlocksAt + refcountBlocks;
  const l2At = l1At + l1Clusters;
  const dataAt = l2At + l2Tables;
  return {
    ...{ clusters, dataClusters, l1Entries, l2Entries, l2Tables, refcountBlocks, refcountTableClusters },
    ...{ refcountBlocksAt, l1At, l2At, dataAt },
  };
}

/** @param {Recipe} recipe @param {Layout} layout */
function header({ virtualSize, clusterSize, backing }, layout) {
  const bytes = Buffer.alloc(clusterSize);
  bytes.write('QFI\xfb', 0, 'latin1');
  bytes.writeUInt32BE(3, 4); // version
  bytes.writeUInt32BE(Math.log2(clusterSize), 20); // cluster_bits
  bytes.writeBigUInt64BE(BigInt(virtualSize), 24); // size
  bytes.writeUInt32BE(layout.l1Entries, 36); // l1_size
  bytes.writeBigUInt64BE(BigInt(layout.l1At * clusterSize), 40); // l1_table_offset
  bytes.writeBigUInt64BE(BigInt(clusterSize), 48); // refcount_table_offset
  bytes.writeUInt32BE(layout.refcountTableClusters, 56); // refcount_table_clusters
  bytes.writeUInt32BE(4, 96); // refcount_order: 16 bits
  bytes.writeUInt32BE(HEADER_BYTES, 100); // header_length
  if (backing) {
    const formatBytes = Buffer.byteLength(backing.format);
    bytes.writeUInt32BE(BACKING_FORMAT, HEADER_BYTES);
    bytes.writeUInt32BE(formatBytes, HEADER_BYTES + 4);
    bytes.write(backing.format, HEADER_BYTES + 8);
    // The name follows the padded extension and the end marker, which is 8 zero bytes.
    const nameOffset = HEADER_BYTES + 8 + divideUp(formatBytes, 8) * 8 + 8;
    bytes.writeBigUInt64BE(BigInt(nameOffset), 8); // backing_file_offset
    bytes.writeUInt32BE(Buffer.byteLength(backing.name), 16); // backing_file_size
    bytes.write(backing.name, nameOffset);
  }
  return bytes;
}

/** @param {number} file @param {Recipe} recipe @param {Layout} layout */
function writeRefcounts(file, { clusterSize }, layout) {
  const { clusters, refcountBlocks, refcountBlocksAt, refcountTableClusters } = layout;
  const table = new DataView(new ArrayBuffer(refcountTableClusters * clusterSize));
  for (let i = 0; i < refcountBlocks; i++) setEntry(table, i, (refcountBlocksAt + i) * clusterSize);
  writeSync(file, table, 0, table.byteLength, clusterSize);

  const blocks = Buffer.alloc(refcountBlocks * clusterSize);
  blocks.fill(Buffer.from([0, 1]), 0, clusters * REFCOUNT_BYTES);
  writeSync(file, blocks, 0, blocks.length, refcountBlocksAt * clusterSize);
}

/** @param {number} file @param {Recipe} recipe @param {Layout} layout */
function writeMapping(file, recipe, layout) {
  const { l1Entries, l2Entries, l2Tables, l1At, l2At, dataAt, dataClusters: dataCount } = layout;
  const { clusterSize, scattered = false, randomOrder = false, seed = 1 } = recipe;
  const order = randomOrder ? shuffled(dataCount, seed) : undefined;
  const placeOfTable = (/** @type {number} */ index) => l2At + (scattered ? 2 * index : index);
  const placeOfData = (/** @type {number} */ index) =>
    scattered && index < l2Tables ? l2At + 2 * index + 1 : dataAt + (order?.[index] ?? index);
  const l1 = new DataView(new ArrayBuffer(l1Entries * ENTRY_BYTES));
  const l2Bytes = Buffer.alloc(clusterSize);
  const l2 = new DataView(l2Bytes.buffer, l2Bytes.byteOffset, clusterSize);
  let l1Index = -1;
  let tables = 0;
  let dataClusters = 0;
  const writeL2 = () => writeSync(file, l2, 0, clusterSize, placeOfTable(tables - 1) * clusterSize);
  eachAllocated(recipe, (guestCluster) => {
    const newL1Index = Math.floor(guestCluster / l2Entries);
    if (newL1Index !== l1Index) {
      if (l1Index >= 0) writeL2();
      l1Index = newL1Index;
      l2Bytes.fill(0);
      setEntry(l1, l1Index, placeOfTable(tables++) * clusterSize, COPIED);
    }
    setEntry(l2, guestCluster % l2Entries, placeOfData(dataClusters++) * clusterSize, COPIED);
  });
  if (l1Index >= 0) writeL2();
  writeSync(file, l1, 0, l1.byteLength, l1At * clusterSize);
}

/** @param {DataView} table @param {number} index @param {number} offset @param {number} upperFlags */
function setEntry(table, index, offset, upperFlags = 0) {
  table.setUint32(index * ENTRY_BYTES, Math.floor(offset / 2 ** 32) | upperFlags);
  table.setUint32(index * ENTRY_BYTES + 4, offset);
}
