/**
 * Which file of commands/ has each command: what has to be known to load only the command that was asked for.
 */

/** `completion` is not here: it is made from all commands. */
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

/** Seldom given, and what they need is much: it is in the whole program only (see build.js). */
const OPTIONS_OF_WHOLE_PROGRAM = ['--qmp', '--domain', '--picture'];

/** Undefined where the arguments do not begin with a command, or take the whole program. */
export function commandFile([name = '', ...rest]: readonly string[]): CommandFile | undefined {
  if (!Object.hasOwn(COMMAND_FILES, name)) return undefined;
  if (rest.some((arg) => OPTIONS_OF_WHOLE_PROGRAM.some((option) => isOption(arg, option)))) return undefined;
  return COMMAND_FILES[name as keyof typeof COMMAND_FILES];
}

function isOption(arg: string, option: string): boolean {
  return arg === option || arg.startsWith(`${option}=`);
}
