import { expect, test } from 'vitest';
import { loadCommands } from '../../../src/cli/command-table.ts';
import { commandTree } from '../../../src/cli/command-tree.ts';
import { commandsPage } from './commands-page.ts';

test('docs/commands.md describes the commands of the program ("npm run docs" writes it)', async () => {
  const page = commandsPage(commandTree(await loadCommands()));
  await expect(page).toMatchFileSnapshot('../../../docs/commands.md');
});
