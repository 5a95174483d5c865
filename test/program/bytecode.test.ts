/** The build stores bytecode that this Node runs. Without it, each run would compile the program again. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { loadFile } from '../../src/cli/compiled-file.ts';

const commands = fileURLToPath(new URL('../../dist/commands/', import.meta.url));
const withBytecode = readdirSync(commands)
  .filter((name) => name.endsWith('.bytecode'))
  .map((name) => name.slice(0, -'.bytecode'.length));

test('commands that people wait for have bytecode', () => {
  expect(withBytecode).toEqual(expect.arrayContaining(['list.cjs', 'create-from.cjs', 'check.cjs']));
});

test.each(withBytecode)('V8 takes the bytecode of %s', (name) => {
  const { script, exports } = loadFile(commands, name);
  expect(script.cachedDataRejected).toBe(false);
  expect(exports).toHaveProperty('runProgram');
});
