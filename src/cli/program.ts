/**
 * The program and its commands.
 */
import { Command } from 'commander';
import { type CommandFile, commandFile } from './command-files.ts';
import { version } from './version.ts';

/** In the order in which the help lists them. The build puts each into a file of its own. */
const LOADERS: Readonly<Record<CommandFile | 'completion', () => Promise<Command[]>>> = {
  'create-from': async () => [(await import('./commands/create-from.ts')).createFromCommand()],
  list: async () => [(await import('./commands/list.ts')).listCommand()],
  map: async () => [(await import('./commands/map.ts')).mapCommand()],
  dump: async () => [(await import('./commands/dump.ts')).dumpCommand()],
  measure: async () => [(await import('./commands/measure.ts')).measureCommand()],
  verify: async () => [(await import('./commands/verify.ts')).verifyCommand()],
  check: async () => [(await import('./commands/check.ts')).checkCommand()],
  repair: async () => [(await import('./commands/repair.ts')).repairCommand()],
  'checkpoint-xml': async () => [(await import('./commands/checkpoint-xml.ts')).checkpointXmlCommand()],
  edit: async () => (await import('./commands/edit.ts')).editCommands(),
  bitmap: async () => [(await import('./commands/bitmap.ts')).bitmapCommand()],
  completion: async () => [(await import('./commands/completion.ts')).completionCommand()],
};

/** @param args those of the command line: of a command that they name only its own file is loaded */
export async function buildProgram(args: readonly string[] = []): Promise<Command> {
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
  const file = commandFile(args);
  const loaders = file === undefined ? Object.values(LOADERS) : [LOADERS[file]];
  for (const command of (await Promise.all(loaders.map((load) => load()))).flat())
    program.addCommand(command);
  for (const command of [program, ...program.commands]) {
    // Errors are reported in one place, in one form.
    command.exitOverride().configureOutput({ outputError: () => {} });
  }
  return program;
}
