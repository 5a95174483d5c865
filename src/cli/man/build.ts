/**
 * Prints the man page; run when the package is built.
 */
import { commandTree } from '../command-tree.ts';
import { buildProgram } from '../program.ts';
import { version } from '../version.ts';
import { manPage } from './page.ts';

void buildProgram().then((program) => process.stdout.write(manPage(commandTree(program), version)));
