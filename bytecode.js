/**
 * Stores the bytecode of commands beside their built files. src/cli/compiled-file.ts loads both.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Runs of each command on a copy of fixtures/chain. The bytecode contains the functions that they call.
 */
const RUNS = {
  list: ['list overlay.qcow2', 'list --chain overlay.qcow2'],
  'create-from': [
    'create-from --allocated overlay.qcow2',
    'create-from --allocated --name second overlay.qcow2',
  ],
  check: ['check base.qcow2'],
  repair: ['repair overlay.qcow2'],
  map: ['map overlay.qcow2', 'map --json overlay.qcow2'],
  dump: ['dump base.qcow2 checkpoint-2026-11-01', 'dump --json base.qcow2 checkpoint-2026-11-01'],
  edit: ['add overlay.qcow2 first', 'clear overlay.qcow2 first'],
  remove: ['remove base.qcow2 checkpoint-2026-11-01'],
};

/** @param {string} file */
export function addDigest(file) {
  appendFileSync(file, `//${createHash('sha256').update(readFileSync(file)).digest('hex')}`);
}

/**
 * @param {string} program the built src/cli/store-bytecode.ts
 * @param {string} folder the folder of the built program
 */
export function storeBytecode(program, folder) {
  for (const [command, runs] of Object.entries(RUNS)) {
    const cwd = mkdtempSync(join(tmpdir(), 'bitmap-tool-build-'));
    try {
      cpSync(fileURLToPath(new URL('fixtures/chain', import.meta.url)), cwd, { recursive: true });
      // Without a seed, the bytecode holds random hashes. V8 does not compare this option when it loads it.
      const args = ['--random-seed=1', program, folder, `commands/${command}.cjs`, ...runs];
      execFileSync(process.execPath, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
    } finally {
      rmSync(cwd, { recursive: true });
    }
  }
}
