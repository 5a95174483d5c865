/**
 * The commands, in the order of the help. A run loads only the called command.
 */
import type { CommandEntry, LoadedCommand } from './command.ts';

const edits = () => import('./commands/edit.ts');

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'create-from',
    summary: 'create bitmaps from a source: the allocation of an image, other bitmaps, a list, …',
    load: async () => (await import('./commands/create-from.ts')).createFromCommand,
  },
  {
    name: 'list',
    summary: 'list stored bitmaps with their state, their dirty bytes and their size on disk',
    load: async () => (await import('./commands/list.ts')).listCommand,
  },
  {
    name: 'map',
    summary: 'show which image of the chain holds each part of the disk, like qemu-img map',
    load: async () => (await import('./commands/map.ts')).mapCommand,
  },
  {
    name: 'dump',
    summary: 'show the dirty parts of a stored bitmap; #ALLOCATED stands for what the image itself holds',
    load: async () => (await import('./commands/dump.ts')).dumpCommand,
  },
  {
    name: 'measure',
    summary: 'print the space that create-from with the same options needs; writes nothing',
    load: async () => (await import('./commands/measure.ts')).measureCommand,
  },
  {
    name: 'verify',
    summary: 'check that a bitmap marks every difference between an image and its earlier state',
    load: async () => (await import('./commands/verify.ts')).verifyCommand,
  },
  {
    name: 'check',
    summary: 'check whether the checkpoints of backing chains are fit for incremental backups',
    load: async () => (await import('./commands/check.ts')).checkCommand,
  },
  {
    name: 'repair',
    summary: 'make the checkpoints of whole backing chains valid again',
    load: async () => (await import('./commands/repair.ts')).repairCommand,
  },
  {
    name: 'checkpoint-create',
    summary: 'create a checkpoint of a guest that is off: an empty bitmap on all of its disks, or on none',
    load: async () => (await import('./commands/checkpoint-create.ts')).checkpointCreateCommand,
  },
  {
    name: 'checkpoint-xml',
    summary: 'print checkpoints as XML for "virsh checkpoint-create --redefine"',
    load: async () => (await import('./commands/checkpoint-xml.ts')).checkpointXmlCommand,
  },
  {
    name: 'checkpoint-carry',
    summary: 'carry the checkpoints of a chain into one image: before a commit, after a flatten or a move',
    load: async () => (await import('./commands/checkpoint-carry.ts')).checkpointCarryCommand,
  },
  {
    name: 'add',
    summary: 'add bitmaps with nothing marked',
    load: async () => (await edits()).addCommand,
  },
  {
    name: 'remove',
    summary: 'remove stored bitmaps',
    load: async () => (await import('./commands/remove.ts')).removeCommand,
  },
  {
    name: 'clear',
    summary: 'clear the marks of stored bitmaps',
    load: async () => (await edits()).clearCommand,
  },
  {
    name: 'enable',
    summary: 'let bitmaps record writes',
    load: async () => (await edits()).enableCommand,
  },
  {
    name: 'disable',
    summary: 'stop bitmaps from recording writes',
    load: async () => (await edits()).disableCommand,
  },
  {
    name: 'merge',
    summary: 'merge bitmaps into one of the image',
    load: async () => (await edits()).mergeCommand,
  },
  {
    name: 'inspect',
    summary: 'show the stored metadata of an image, even if it is broken: for bug reports',
    load: async () => (await import('./commands/inspect.ts')).inspectCommand,
  },
  {
    name: 'bitmap',
    summary: 'the arguments of qemu-img bitmap, as a drop-in',
    load: async () => (await import('./commands/bitmap.ts')).bitmapCommand,
  },
  {
    name: 'completion',
    summary: 'print a script that makes a shell complete commands, options, files and names of bitmaps',
    load: async () => (await import('./commands/completion.ts')).completionCommand,
  },
];

/** Loads all commands. This takes longer than most runs. */
export function loadCommands(): Promise<LoadedCommand[]> {
  return Promise.all(COMMANDS.map(loadCommand));
}

export async function loadCommand(entry: CommandEntry): Promise<LoadedCommand> {
  return { ...entry, definition: await entry.load() };
}
