/** Before each test file: the same random values for every mutant, and an account of the places that are executed. */
import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll } from 'vitest';

fc.configureGlobal({ seed: 1 });

const account = process.env.BITMAP_TOOL_REACHED;
if (account) {
  const reached = new Set();
  Object.assign(globalThis, { reached });
  afterAll(() => writeFileSync(account, JSON.stringify([...reached])));
}
