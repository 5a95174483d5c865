/**
 * Prints the man page. The build of the package runs this file.
 */
import { loadCommands } from '../command-table.ts';
import { commandTree } from '../command-tree.ts';
import { version } from '../version.ts';
import { manPage } from './page.ts';

void loadCommands().then((commands) => process.stdout.write(manPage(commandTree(commands), version)));
