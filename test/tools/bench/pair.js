/** A raw and a qcow2 image, full of data, that differ in their last hundredth: where `qemu-img compare` looks last. */

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';

const PIECE_BYTES = 2 ** 20;

/** @param {string} raw @param {string} qcow2 @param {number} sizeBytes */
export function writePair(raw, qcow2, sizeBytes) {
  const unconverted = `${qcow2}.raw`;
  const files = [openSync(raw, 'wx'), openSync(unconverted, 'wx')];
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
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', unconverted, qcow2]);
  rmSync(unconverted);
}
