/**
 * The file in commands/ for each command. With this table, the program loads only the called command.
 */

/** `completion` is missing because it needs all commands. */
const COMMAND_FILES = {
  'create-from': 'create-from',
  list: 'list',
  map: 'map',
  dump: 'dump',
  measure: 'measure',
  verify: 'verify',
  check: 'check',
  repair: 'repair',
  'checkpoint-create': 'checkpoint-create',
  'checkpoint-xml': 'checkpoint-xml',
  'checkpoint-carry': 'checkpoint-carry',
  add: 'edit',
  remove: 'remove',
  clear: 'edit',
  enable: 'edit',
  disable: 'edit',
  merge: 'edit',
  inspect: 'inspect',
  bitmap: 'bitmap',
} as const;

export type CommandFile = (typeof COMMAND_FILES)[keyof typeof COMMAND_FILES];

/** These options are rare and need much code. Only the whole program contains that code (see build.js). */
const OPTIONS_OF_WHOLE_PROGRAM = ['--qmp', '--domain', '--picture'];

/** Undefined if the arguments do not begin with a command of the table, or need the whole program. */
export function commandFile([name = '', ...rest]: readonly string[]): CommandFile | undefined {
  if (!Object.hasOwn(COMMAND_FILES, name)) return undefined;
  if (rest.some((arg) => OPTIONS_OF_WHOLE_PROGRAM.some((option) => isOption(arg, option)))) return undefined;
  return COMMAND_FILES[name as keyof typeof COMMAND_FILES];
}

function isOption(arg: string, option: string): boolean {
  return arg === option || arg.startsWith(`${option}=`);
}
