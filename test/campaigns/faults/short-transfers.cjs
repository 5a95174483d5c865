// For `node --require`: fs.read, fs.readSync and fs.write of this process ask the kernel for a part only of what they are asked
// for, and return what the kernel has moved.
'use strict';

const fs = require('node:fs');
const { syncBuiltinESMExports } = require('node:module');

/** See short-transfers.ts. */
const { calls, nth, part, report } = JSON.parse(process.env.SHORT_TRANSFERS);
const parts = { half: (length) => Math.ceil(length / 2), byte: () => 1, nothing: () => 0 };
const seen = { read: 0, write: 0, shortened: 0 };

function lengthOf(call, length) {
  seen[call]++;
  if (!calls.includes(call)) return length;
  // Were it every time, the rest of a transfer would need a call for each byte.
  if (nth === 'alternate' ? seen[call] % 2 === 0 : seen[call] !== nth) return length;
  const shorter = parts[part](length);
  if (shorter < length) seen.shortened++;
  return shorter;
}

/** The result goes to stdout by the same calls. */
const isFile = (fd) => fd > 2;

for (const call of ['read', 'write']) {
  const original = fs[call];
  fs[call] = (fd, buffer, offset, length, position, callback) =>
    original(fd, buffer, offset, isFile(fd) ? lengthOf(call, length) : length, position, callback);
  // What util.promisify makes of them hangs on symbols.
  for (const symbol of Object.getOwnPropertySymbols(original)) fs[call][symbol] = original[symbol];
}
const { readSync } = fs;
fs.readSync = (fd, buffer, offset, length, position) =>
  readSync(fd, buffer, offset, lengthOf('read', length), position);
syncBuiltinESMExports();
process.on('exit', () => fs.writeFileSync(report, JSON.stringify(seen)));
