/**
 * Remedies about a running QEMU and its monitor.
 */
import type { QemuRemedy } from '../../remedy.ts';
import { shellPath } from '../../text/shell-word.ts';
import type { Words } from './words.ts';

export const qemuWords: Words<QemuRemedy> = {
  'upgrade-qemu': ({ since }) => `Use QEMU ${since} or newer, or shut the guest down and work on its images.`,
  'wait-for-job': () => 'Wait until it has ended, or cancel it.',
  'wait-for-migration': () => 'Wait until the migration has ended.',
  'wait-for-user-of-bitmap': () => 'Wait until that has ended.',
  'wait-for-nbd-server': () =>
    'A backup in pull mode, or another program, serves disks from it: wait until that has ended.',
  'repair-guest': () => 'Bring the guest into a normal state first.',
  'name-open-image': ({ images }) =>
    images.length === 0
      ? 'It has no image of a local file open.'
      : `It has open: ${[...new Set(images)].join(', ')}`,
  'run-as-qemu-user': () => 'Run as the user that runs QEMU, or as root.',
  'start-monitor': () =>
    'The QEMU that made it has ended, or has no monitor there ("qemu-system-x86_64 -qmp unix:PATH,server=on,wait=off").',
  'name-qmp-monitor': () =>
    'Name the socket of a QMP monitor ("qemu-system-x86_64 -qmp unix:PATH,server=on,wait=off"), not that of the human monitor.',
  'free-monitor': () =>
    'A QMP monitor serves one client at a time: wait for that client, or give QEMU a second monitor.',
  'check-after-crash': () =>
    'QEMU has ended or crashed: its bitmaps are as it has stored them. Examine the images with "bitmap-tool check".',
  'run-again-to-tidy-up': () => 'The next run removes what was left behind.',
  'shorten-temporary-path': () => 'Set TMPDIR to a folder with a shorter path.',
  'install-virsh': () =>
    'Install the package libvirt-clients (Debian, Ubuntu) or libvirt-client (Fedora, RHEL).',
  'run-on-host': () => 'Run this on the host of the guest.',
  'name-disk-of-guest': ({ disks }) => `It has: ${disks.join(', ')}`,
  'run-again-after-other-run': () => 'Wait until that run has ended, then run the command again.',
  'run-again-after-snapshot': () =>
    'A snapshot was made, or a job ended, during the command. Run the command again.',
  'shut-down-for-source': () =>
    'Shut the guest down for this source, or use what the image holds as the source.',
  'shut-down-to-upgrade': ({ file }) =>
    `Shut the guest down, then run "qemu-img amend -o compat=1.1 ${shellPath(file)}".`,
  'choose-name-free-in-qemu': () => 'Choose another name, or remove that bitmap from QEMU first.',
  'use-local-images': () => 'Only images in local files and on block devices can be read.',
  'shut-down-to-write': (_, command) =>
    command.words('--qmp').length === 0
      ? 'Shut the guest down, then run the command again.'
      : 'Shut the guest down, then run the command again without --qmp.',
  'shut-down-to-compare': () => 'Shut the guest down to compare.',
};
