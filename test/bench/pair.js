/** Two raw images, full of data, that differ in their last hundredth: where `qemu-img compare` looks last. */

import { closeSync, openSync, writeSync } from 'node:fs';

const PIECE_BYTES = 2 ** 20;

/** @param {string} a @param {string} b @param {number} sizeBytes */
export function writePair(a, b, sizeBytes) {
  const files = [openSync(a, 'wx'), openSync(b, 'wx')];
  const piece = new Uint32Array(PIECE_BYTES / 4);
  for (let offset = 0; offset < sizeBytes; offset += PIECE_BYTES) {
    const differs = offset >= sizeBytes * 0.99;
    for (const [index, file] of files.entries()) {
      piece.fill(offset / PIECE_BYTES + 1);
      if (differs) piece.fill(index, 0, 1024);
      writeSync(file, piece, 0, PIECE_BYTES, offset);
    }
  }
  for (const file of files) closeSync(file);
}
