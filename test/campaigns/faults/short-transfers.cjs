// For `node --require`: fs.read, fs.readSync and fs.writev of this process ask the kernel for a part only of what they are asked
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

const { read, readSync, writev } = fs;
fs.read = (fd, buffer, offset, length, position, callback) =>
  read(fd, buffer, offset, isFile(fd) ? lengthOf('read', length) : length, position, callback);
fs.writev = (fd, buffers, position, callback) => {
  const bytes = Buffer.concat(buffers);
  writev(
    fd,
    [bytes.subarray(0, isFile(fd) ? lengthOf('write', bytes.length) : bytes.length)],
    position,
    callback,
  );
};
// What util.promisify makes of them hangs on symbols.
for (const [call, original] of Object.entries({ read, writev })) {
  for (const symbol of Object.getOwnPropertySymbols(original)) fs[call][symbol] = original[symbol];
}
fs.readSync = (fd, buffer, offset, length, position) =>
  readSync(fd, buffer, offset, lengthOf('read', length), position);
syncBuiltinESMExports();
process.on('exit', () => fs.writeFileSync(report, JSON.stringify(seen)));
