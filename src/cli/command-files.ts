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
  'checkpoint-xml': 'checkpoint-xml',
  add: 'edit',
  remove: 'edit',
  clear: 'edit',
  enable: 'edit',
  disable: 'edit',
  merge: 'edit',
  bitmap: 'bitmap',
} as const;

export type CommandFile = (typeof COMMAND_FILES)[keyof typeof COMMAND_FILES];

/** Undefined where the arguments do not begin with a command, or with one that needs all of them. */
export function commandFile([name = '']: readonly string[]): CommandFile | undefined {
  return Object.hasOwn(COMMAND_FILES, name) ? COMMAND_FILES[name as keyof typeof COMMAND_FILES] : undefined;
}
