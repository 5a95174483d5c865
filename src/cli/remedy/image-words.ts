/**
 * Remedies about one qcow2 image, and about the names of images.
 */
import type { ChainRemedy, ImageRemedy } from '../../remedy.ts';
import { shellPath } from '../../text/shell-word.ts';
import { beganIn, repairCall, repairDirectoryCall } from './calls.ts';
import type { CommandAtHand, Words } from './words.ts';

const COPY_FIRST = 'Take a copy of the image, then ';

export const imageWords: Words<ImageRemedy> = {
  'restore-copy': () => 'Restore the image from a complete copy.',
  'restore-copy-or-check': ({ file }) =>
    `The file is truncated: restore it from a complete copy, or examine it with "qemu-img check ${shellPath(file)}".`,
  check: ({ file, copyFirst }) =>
    `${copyFirst ? `${COPY_FIRST}examine` : 'Examine'} it with "qemu-img check ${shellPath(file)}".`,
  'check-and-repair': ({ file, copyFirst, dropsOutdated }, command) =>
    `${copyFirst ? `${COPY_FIRST}run` : 'Run'} "qemu-img check -r all ${shellPath(file)}".${forgetting(file, dropsOutdated, command)}`,
  'upgrade-version': ({ file, dropsOutdated }, command) =>
    `Run "qemu-img amend -o compat=1.1 ${shellPath(file)}".${forgetting(file, dropsOutdated, command)}`,
  'enlarge-clusters': () =>
    'Convert the image to one with larger clusters ("qemu-img convert -o cluster_size=64k").',
  'shorten-backing-name': () =>
    'Give the backing file a shorter name ("qemu-img rebase -u"), or convert the image to one with larger clusters.',
  'use-original-software': () => 'Use the software that made this image, or convert the image with it.',
  'correct-extension-length': () =>
    'Take a copy of the image, then correct the length of its bitmaps extension to 24 in a hex editor.',
  'disown-bitmaps': ({ file, offset, byte }) => {
    const stored = `\\${byte.toString(8).padStart(3, '0')}`;
    return `Take a copy of the image. "printf '${stored}' | dd of=${shellPath(file)} bs=1 seek=${offset} conv=notrunc" gives up its bitmaps, so that QEMU opens it.`;
  },
  'free-leaks-of-failure': ({ file }) =>
    `Then "qemu-img check -r leaks ${shellPath(file)}" frees the leaked clusters. The disk's data is unchanged.`,
  'free-leaks': ({ file, dropsOutdated }, command) =>
    `"${repairDirectoryCall(command, file)}" frees them${
      dropsOutdated
        ? '. "qemu-img check -r" would drop the names of the outdated bitmaps, too.'
        : ', as does "qemu-img check -r leaks".'
    }`,
  'overlay-raw-image': ({ file }) =>
    `Put a qcow2 overlay on it: qemu-img create -f qcow2 -b ${shellPath(file)} -F raw overlay.qcow2`,
};

export const chainWords: Words<ChainRemedy> = {
  'name-local-image': () =>
    'The supported images are local files and block devices: a path, file:…, or json:{…} with driver qcow2 or raw over file or host_device.',
  'use-utf8-name': () =>
    'Give the file a second name in UTF-8, for example a symbolic link. "qemu-img rebase -u" stores it in the image above.',
  'write-as-path': ({ path }) => `For a file of that name write ${path}`,
  'name-image-itself': ({ path }) => `Name the image itself: ${path}`,
  'convert-format': () => 'The supported formats are qcow2 and raw; "qemu-img convert" converts the image.',
  'correct-backing-name': ({ file }) =>
    `See which file it names with "qemu-img info ${shellPath(file)}"; "qemu-img rebase -u" corrects the name.`,
  'store-backing-format': ({ file }) =>
    `Store the format: qemu-img rebase -u -F FORMAT -b BACKING ${shellPath(file)}`,
  'state-raw-format': ({ file }) =>
    `To state that it is raw, name it as ${`json:${JSON.stringify({ driver: 'raw', file: { driver: 'file', filename: file } })}`}`,
  'name-data-file-from-here': () =>
    'A relative name of a data file starts at the current folder, as it does for QEMU.',
  'name-earlier-disk': () => 'Name an earlier state of the disk: a full backup, or a backup over one.',
  'rebase-backup': ({ file }) =>
    `If it is a backup with the wrong backing file, set its backing file to the backup before it: qemu-img rebase -u -b BACKUP -F qcow2 ${shellPath(file)}`,
  decrypt: (_, command) =>
    `${
      command.has('--allocated')
        ? 'The allocation map needs no key: --allocated works.'
        : 'The allocation map needs no key: "bitmap-tool create-from --allocated" works.'
    } To compare, decrypt the image with "qemu-img convert".`,
};

/** Warns before QEMU writes to an image with outdated bitmaps, because QEMU drops them. */
function forgetting(file: string, dropsOutdated: boolean, command: CommandAtHand): string {
  if (!dropsOutdated) return '';
  const call = repairCall(command, { '--name': ['NAME'], ...beganIn(shellPath(file)) });
  return ` That drops its outdated bitmaps: afterwards repair each checkpoint that began in this image with "${call}".`;
}
