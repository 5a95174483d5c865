/**
 * The command tree.
 */
import { Command } from 'commander';
import { bitmapCommand } from './commands/bitmap.ts';
import { checkCommand } from './commands/check.ts';
import { checkpointXmlCommand } from './commands/checkpoint-xml.ts';
import { completionCommand } from './commands/completion.ts';
import { createFromCommand } from './commands/create-from.ts';
import { dumpCommand } from './commands/dump.ts';
import { editCommands } from './commands/edit.ts';
import { listCommand } from './commands/list.ts';
import { mapCommand } from './commands/map.ts';
import { measureCommand } from './commands/measure.ts';
import { repairCommand } from './commands/repair.ts';
import { verifyCommand } from './commands/verify.ts';
import { version } from './version.ts';

export function buildProgram(): Command {
  const program = new Command('bitmap-tool')
    .description('Make, look at, change and judge the persistent dirty bitmaps of qcow2 images at rest.')
    .version(version)
    .showHelpAfterError(false)
    // With all of their arguments the names would leave no room for what the commands do.
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText(
      'after',
      `
The main job, for an overlay that was made outside libvirt:
  bitmap-tool create-from --allocated disk.qcow2

Exit codes: 0 done, 1 failed, 2 wrong command line, 3 problems found or left, 4 refused, 5 image in use, 129/130/143 interrupted.`,
    );
  for (const command of [
    createFromCommand(),
    listCommand(),
    mapCommand(),
    dumpCommand(),
    measureCommand(),
    verifyCommand(),
    checkCommand(),
    repairCommand(),
    checkpointXmlCommand(),
    ...editCommands(),
    bitmapCommand(),
    completionCommand(),
  ]) {
    program.addCommand(command);
  }
  for (const command of [program, ...program.commands]) {
    // Errors are reported in one place, in one form.
    command.exitOverride().configureOutput({ outputError: () => {} });
  }
  return program;
}
