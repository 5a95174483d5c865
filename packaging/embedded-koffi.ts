/**
 * Stands for koffi in the standalone program, which holds koffi's binary in itself.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { getRawAsset } from 'node:sea';
import { NoNativeError } from '../src/storage/load-koffi.ts';

const binary = new Uint8Array(getRawAsset('koffi.node') as ArrayBuffer);

/** Programs may not be loaded from every one of these on every host (mount option noexec). */
const folders = new Set([
  tmpdir(),
  process.env['XDG_RUNTIME_DIR'] ?? '/run',
  '/var/tmp',
  '/dev/shm',
  homedir(),
]);

export const { load, errno } = loadBinary();

function loadBinary(): typeof import('koffi') {
  const failures: string[] = [];
  for (const folder of folders) {
    try {
      return loadFrom(folder);
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  throw new NoNativeError(`koffi's library can be loaded from no folder (${failures.join('; ')})`, {
    kind: 'choose-library-folder',
  });
}

/** The dynamic loader takes files only. It keeps the file open, so nothing stays in the folder. */
function loadFrom(folder: string): typeof import('koffi') {
  // Made by this call, with access for its owner alone, so nobody else can put a file in.
  const own = mkdtempSync(join(folder, '.bitmap-tool-'));
  try {
    const file = join(own, 'koffi.node');
    writeFileSync(file, binary, { flag: 'wx', mode: 0o600 });
    const module = { exports: {} };
    process.dlopen(module, file);
    return module.exports as typeof import('koffi');
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}
