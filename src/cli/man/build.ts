/**
 * Prints the man page; run when the package is built.
 */
import { loadCommands } from '../command-table.ts';
import { commandTree } from '../command-tree.ts';
import { version } from '../version.ts';
import { manPage } from './page.ts';

void loadCommands().then((commands) => process.stdout.write(manPage(commandTree(commands), version)));
