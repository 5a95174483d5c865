import { expect, test } from 'vitest';
import { commandTree } from '../../../src/cli/command-tree.ts';
import { buildProgram } from '../../../src/cli/program.ts';
import { commandsPage } from './commands-page.ts';

test('docs/commands.md describes the commands that the program has ("npm run docs" writes it)', async () => {
  const page = commandsPage(commandTree(await buildProgram()));
  await expect(page).toMatchFileSnapshot('../../../docs/commands.md');
});
