/**
 * Remedies about bitmaps stored in an image.
 */
import type { BitmapRemedy } from '../../remedy.ts';
import { shellPath, shellWord } from '../../text/shell-word.ts';
import { removeCall, repairCall, repairDirectoryCall } from './calls.ts';
import type { Words } from './words.ts';

export const bitmapWords: Words<BitmapRemedy> = {
  'repair-directory': ({ file, copyFirst, opens }, command) => {
    const call = `"${repairDirectoryCall(command, file)}"`;
    if (opens)
      return `QEMU cannot open the image either. ${call} makes it open again and keeps the sound bitmaps.`;
    return copyFirst
      ? `Take a copy of the image, then repair its bitmaps with ${call}.`
      : `${call} repairs it.`;
  },
  'keep-outdated-names': ({ file }, command) =>
    `If checkpoints may need them, repair each: "${repairCall(command, { '--name': ['NAME'] })}" says if that needs consent. "${repairDirectoryCall(command, file)}" only keeps their names, marked in-use. The next program of QEMU that writes to the image drops them; so does "qemu-img check -r leaks ${shellPath(file)}".`,
  'rebuild-or-remove-in-use': ({ file, name }, command) =>
    `Once no program uses the image, "${repairCall(command, { '--name': [shellWord(name)] })}" rebuilds it. If its checkpoint is no longer needed, "${removeCall(command, file, name)}" removes it.`,
  'remove-unknown-in-use': ({ file, name }, command) =>
    `No known checkpoint has this name. If none needs it, "${removeCall(command, file, name)}" removes it.${command.has('--checkpoints') ? ' If libvirt has lost its checkpoint, add the XML of all: --checkpoints FOLDER' : ''}`,
  'remove-bitmap': ({ file, name }, command) => `Remove the bitmap: ${removeCall(command, file, name)}`,
  'remove-all-bitmaps': (_, command) =>
    command.has('--all')
      ? 'If all bitmaps must go, use --all.'
      : 'If all bitmaps must go: bitmap-tool remove --all IMAGE',
  'remove-unneeded-bitmaps': () => 'Remove bitmaps that are no longer needed.',
  'replace-bitmap': ({ file, name }) =>
    `Unless a guest is running on the image, replace it: ${createFrom(file, name, 'replace')}`,
  'replace-target': ({ file, name }, command) =>
    command.has('--if-exists')
      ? `To replace it, use --name ${shellWord(name)} --if-exists replace.`
      : `Replace it: ${createFrom(file, name, 'replace')}`,
  'add-to-target': ({ file, name }, command) =>
    command.has('--if-exists')
      ? `To add the missing marks, use --name ${shellWord(name)} --if-exists merge.`
      : `Add the missing marks: ${createFrom(file, name, 'merge')}`,
  'choose-other-name-or-change': ({ file, name }, command) =>
    command.has('--if-exists')
      ? 'Choose another --name, or add --if-exists merge (adds to it) or --if-exists replace.'
      : `Choose another name, or remove the bitmap first: ${removeCall(command, file, name)}`,
  'choose-stored-name': () => 'Choose another name. A command can only read from #ALLOCATED.',
  'keep-granularity-or-replace': (_, command) =>
    command.has('--if-exists')
      ? 'Leave out --granularity, or use --if-exists replace.'
      : 'Leave out the granularity.',
  'coarsen-granularity': ({ leastBytes }, command) =>
    command.has('--granularity')
      ? `Use --granularity ${leastBytes} or more.`
      : `Use a granularity of ${leastBytes} bytes or more.`,
  'use-fewer-bitmaps': (_, command) =>
    command.has('--granularity')
      ? 'Name fewer bitmaps at a time, or use a coarser --granularity.'
      : 'Name fewer bitmaps at a time.',
  'name-new-bitmap': (_, command) =>
    command.has('--name') ? 'Name the new bitmap: --name NAME' : 'Name the new bitmap.',
  'name-existing-bitmap': ({ names }) =>
    names.length === 0
      ? 'The image has no bitmaps.'
      : `It has: ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`,
  'accept-any-size': (_, command) =>
    command.has('--any-size')
      ? 'With --any-size everything beyond the end of the shorter disk counts as dirty.'
      : 'With "bitmap-tool merge --any-size" everything beyond the end of the shorter disk counts as dirty.',
  'fill-images-between': () => 'Run "bitmap-tool create-from" on those images, too.',
};

function createFrom(file: string, name: string, ifExists: 'merge' | 'replace'): string {
  return `bitmap-tool create-from --allocated --name ${shellWord(name)} --if-exists ${ifExists} ${shellPath(file)}`;
}
