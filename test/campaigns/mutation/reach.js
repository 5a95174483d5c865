/** Runs test files once on the sources as they are: all must pass, and each is asked what it executes and how long it took. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { probed } from './probes.js';
import { failureOf, root, startVitest } from './vitest-run.js';

/** @typedef {{ test: string, ms: number, reached: string[] }} Reach `reached` holds places as `file:start` */

/**
 * @param {string[]} files sources
 * @param {string[]} tests patterns
 * @param {string} folder keeps what was found, by the text of the sources and of the test
 * @returns {Promise<Reach[]>}
 */
export async function reachOf(files, tests, folder) {
  // Several runs may share the folder.
  const account = join(folder, `reached-${process.pid}.json`);
  const texts = new Map(
    files.map((file) => [join(root, file), probed(readFileSync(join(root, file), 'utf8'), file)]),
  );
  process.env.BITMAP_TOOL_REACHED = account;
  const vitest = await startVitest(tests, (path) => texts.get(path));
  /** @type {Reach[]} */
  const result = [];
  for (const specification of await vitest.globTestSpecifications()) {
    const path = specification.moduleId;
    const test = relative(root, path);
    const digest = createHash('sha256').update(
      JSON.stringify([...texts.values(), test, readFileSync(path, 'utf8')]),
    );
    const kept = join(folder, `reach-${digest.digest('hex').slice(0, 16)}.json`);
    if (!existsSync(kept)) {
      const start = performance.now();
      // A pause of the machine is not a failure of the test.
      const failure =
        (await failureOf(vitest, [specification])) && (await failureOf(vitest, [specification]));
      if (failure !== undefined) throw new Error(`${test} fails without any mutant: ${failure.message}`);
      const ms = Math.round(performance.now() - start);
      const reached = JSON.parse(readFileSync(account, 'utf8'));
      writeFileSync(kept, JSON.stringify({ test, ms, reached }));
    }
    result.push(JSON.parse(readFileSync(kept, 'utf8')));
  }
  await vitest.close();
  rmSync(account, { force: true });
  delete process.env.BITMAP_TOOL_REACHED;
  return result;
}
