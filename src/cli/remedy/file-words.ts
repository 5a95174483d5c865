/**
 * Remedies about files, the file system and other programs.
 */
import type { FileRemedy } from '../../remedy.ts';
import { isForGuest } from './calls.ts';
import type { CommandAtHand, Words } from './words.ts';

/** Programs with a QMP monitor. The kernel shortens their names. */
const QEMU = /^(?:qemu-system|qemu-kvm|kvm|qemu-storage)/;

export const fileWords: Words<FileRemedy> = {
  'name-file-or-device': () => 'Name a regular file or a block device.',
  'get-permission': ({ to }) =>
    to === 'read'
      ? 'Run as a user who may read it.'
      : 'Nothing was written. Run as a user who may write it, on a file system that is not read-only.',
  'free-space': () => 'Free some space on that file system.',
  'raise-file-size-limit': () =>
    'Raise the limit of this process ("ulimit -f"), or put the image on a file system that holds larger files.',
  'stop-other-writer': () => 'Another program changes this file. Stop that program first.',
  'remove-cause': () => 'Remove the cause.',
  'stop-programs': ({ programs, toDo }, command) => {
    const stop =
      programs.length > 0
        ? `Stop ${programs.join(' and ')} first`
        : 'Stop that process first (root sees which one it is, but not from within a container; on a shared file system it may run on another host)';
    const inQemu =
      programs.some((each) => QEMU.test(each)) && command.has('--domain') && !isForGuest(command)
        ? ' To work in that QEMU instead, name the guest with --domain, or the socket of its monitor with --qmp.'
        : '';
    if (toDo === 'read-shared') return `${stop}: it allows no other program to read the image.${inQemu}`;
    if (toDo === 'write')
      return `${stop}.${inQemu === '' ? ' Only QEMU itself can change the bitmaps of a running guest.' : inQemu}`;
    return command.has('--force-share')
      ? `${stop}, or add --force-share (-U) to a command that only reads: it reads the image as it is now.${inQemu}`
      : `${stop}.${inQemu}`;
  },
  'plan-only': (_, command) =>
    command.has('--dry-run')
      ? 'Stop the program that uses the image, or add --dry-run to see what the command would do.'
      : 'Stop the program that uses the image.',
  'work-without-locks': (_, command) => `Make ${sureThenWithoutLocks(command)}`,
  'install-koffi': (_, command) =>
    `Install bitmap-tool again on this host with "npm install --include=optional", in a folder that is not mounted noexec. Or make ${sureThenWithoutLocks(command)}`,
  'choose-library-folder': (_, command) =>
    `Set TMPDIR to a folder that you can write to and that is not mounted noexec. Or make ${sureThenWithoutLocks(command)}`,
  'extend-device': ({ neededBytes }) =>
    `Extend the device to at least ${neededBytes} bytes (for example "lvextend -L ${neededBytes}b"), then run the command again.`,
  'name-new-file': () => 'Name a new file, or remove that file first.',
  'choose-writable-folder': () => 'Nothing was written. Choose a folder that you may write to.',
  'run-again': () => 'Then run the command again: it continues from there.',
  'choose-other-file-system': () => 'Nothing was left behind. Choose a folder on another file system.',
};

function sureThenWithoutLocks(command: CommandAtHand): string {
  const work = command.has('--no-lock')
    ? 'run the command again with --no-lock'
    : 'use another command without locks, such as "bitmap-tool merge --no-lock"';
  return `sure that no other program uses the image, then ${work}.`;
}
