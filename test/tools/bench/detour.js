/**
 * What one had to do without the tool, with QEMU 7.2: writes zeros to a dummy image with a bitmap wherever
 * `qemu-img map` finds something allocated, then merges that bitmap: `detour.js IMAGE BITMAP`.
 */

import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';

const [image = '', bitmap = ''] = process.argv.slice(2);
const dummy = `${image}.dummy`;
const most = { maxBuffer: 2 ** 30 };
/** @param {string[]} args @param {string} [input] */
const qemu = ([program = '', ...args], input) =>
  execFileSync(program, args, { input, ...most, encoding: 'utf8' });

/** @type {{ start: number, length: number, depth: number, present: boolean }[]} */
const extents = JSON.parse(qemu(['qemu-img', 'map', '--output=json', image]));
const { 'virtual-size': size } = JSON.parse(qemu(['qemu-img', 'info', '--output=json', image]));
qemu(['qemu-img', 'create', '-q', '-f', 'qcow2', dummy, String(size)]);
try {
  qemu(['qemu-img', 'bitmap', '--add', dummy, bitmap]);
  const writes = extents
    .filter(({ depth, present }) => depth === 0 && present)
    .map(({ start, length }) => `write -q -z ${start} ${length}\n`);
  qemu(['qemu-io', '-f', 'qcow2', dummy], writes.join(''));
  qemu(['qemu-img', 'bitmap', '--add', image, bitmap]);
  qemu(['qemu-img', 'bitmap', '--merge', bitmap, '-b', dummy, '-F', 'qcow2', image, bitmap]);
} finally {
  rmSync(dummy);
}
