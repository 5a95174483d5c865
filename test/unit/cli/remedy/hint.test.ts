/** Each remedy on each command: the options in a hint exist. */
import { expect, test } from 'vitest';
import { commandAtHand, NO_COMMAND } from '../../../../src/cli/command-at-hand.ts';
import { COMMANDS, loadCommand } from '../../../../src/cli/command-table.ts';
import { hintFor } from '../../../../src/cli/remedy/hint.ts';
import type { Remedy } from '../../../../src/remedy.ts';
import { expectEqual } from '../../../support/expect-equal.ts';
import { strangeOptions } from '../../../support/hint-options.ts';

const file = 'disk.qcow2';
const dropsOutdated = false;

/** All kinds, in all their forms. */
const REMEDIES: { readonly [K in Remedy['kind']]: readonly Omit<Extract<Remedy, { kind: K }>, 'kind'>[] } = {
  steps: [{ steps: [{ kind: 'free-space' }, { kind: 'repair-again' }] }],
  'name-file-or-device': [{}],
  'get-permission': [{ to: 'read' }, { to: 'write' }],
  'free-space': [{}],
  'raise-file-size-limit': [{}],
  'stop-other-writer': [{}],
  'remove-cause': [{}],
  'stop-programs': (['write', 'read', 'read-shared'] as const).flatMap((toDo) => [
    { programs: [], toDo },
    { programs: ['qemu-system-x86 (pid 7)'], toDo },
  ]),
  'plan-only': [{}],
  'work-without-locks': [{}],
  'install-koffi': [{}],
  'choose-library-folder': [{}],
  'extend-device': [{ neededBytes: 4096 }],
  'name-new-file': [{}],
  'choose-writable-folder': [{}],
  'choose-other-file-system': [{}],
  'run-again': [{}],
  'restore-copy': [{}],
  'restore-copy-or-check': [{ file }],
  check: [{ file }, { file, copyFirst: true }],
  'check-and-repair': [
    { file, dropsOutdated },
    { file, dropsOutdated: true, copyFirst: true },
  ],
  'upgrade-version': [
    { file, dropsOutdated },
    { file, dropsOutdated: true },
  ],
  'enlarge-clusters': [{}],
  'shorten-backing-name': [{}],
  'use-original-software': [{}],
  'correct-extension-length': [{}],
  'disown-bitmaps': [{ file, offset: 95, byte: 2 }],
  'free-leaks-of-failure': [{ file }],
  'free-leaks': [
    { file, dropsOutdated },
    { file, dropsOutdated: true },
  ],
  'overlay-raw-image': [{ file }],
  'repair-directory': [{ file }, { file, copyFirst: true }, { file, opens: true }],
  'keep-outdated-names': [{ file }],
  'rebuild-or-remove-in-use': [{ file }],
  'remove-bitmap': [{ file, name: 'c1' }],
  'remove-unneeded-bitmaps': [{}],
  'remove-all-bitmaps': [{}],
  'replace-bitmap': [{ file, name: 'c1' }],
  'replace-target': [{ file, name: 'c1' }],
  'add-to-target': [{ file, name: 'c1' }],
  'choose-other-name-or-change': [{ file, name: 'c1' }],
  'choose-stored-name': [{}],
  'keep-granularity-or-replace': [{}],
  'coarsen-granularity': [{ leastBytes: 4096 }],
  'use-fewer-bitmaps': [{}],
  'name-new-bitmap': [{}],
  'name-existing-bitmap': [{ names: [] }, { names: ['c1', 'c2'] }],
  'accept-any-size': [{}],
  'fill-images-between': [{}],
  'name-local-image': [{}],
  'write-as-path': [{ path: './a:b' }],
  'use-utf8-name': [{}],
  'name-image-itself': [{ path: file }],
  'convert-format': [{}],
  'correct-backing-name': [{ file }],
  'store-backing-format': [{ file }],
  'state-raw-format': [{ file }],
  'name-data-file-from-here': [{}],
  'name-earlier-disk': [{}],
  'rebase-backup': [{ file }],
  decrypt: [{}],
  'repair-checkpoint': [
    { images: [file], names: undefined, consents: [], origins: [], branches: ['s1.qcow2'], isAgainst: false },
    {
      images: [file, 'vdb.qcow2'],
      names: ['c1', 'c2'],
      consents: ['rebuild-origin', 'enable-disabled'],
      origins: ['base.qcow2'],
      branches: [],
      isAgainst: false,
    },
    { images: [file], names: ['c1'], consents: [], origins: [null], branches: [], isAgainst: true },
  ],
  'repair-directory-first': [{ file }],
  'create-checkpoint': [{ name: 'c1', images: ['vda.qcow2', 'vdb.qcow2'] }],
  'resize-image': [{ file, sizeBytes: 512 }],
  'complete-or-remove-checkpoint': [{ name: 'c1', images: ['vda.qcow2', 'vdb.qcow2'], file: 'vda.qcow2' }],
  'name-parent': [{}],
  'name-active-images-once': [{}],
  'see-checkpoints': [{ images: [file, 'b.qcow2'] }],
  'leave-out-image': [{}],
  'order-checkpoints': [
    { names: ['c1', 'c2'], isOrdered: true },
    { names: ['c1', 'c2'], isOrdered: false },
  ],
  'name-existing-checkpoint': [{ names: ['c1'] }],
  'confirm-checkpoint': [{ name: 'c1' }],
  'give-consent': [
    { consents: ['rebuild-origin'], goesByPath: true },
    { consents: ['rebuild-origin', 'enable-disabled'], goesByPath: false },
  ],
  'repair-disks-separately': [{}],
  'repair-again': [{}],
  'name-origin': [{}],
  'name-higher-origin': [{}],
  'mark-left-branch': [
    { name: 'c1', left: undefined },
    { name: 'c1', left: 'disk.s1' },
  ],
  'back-up-from-checkpoint': [
    { name: 'c1', younger: ['c2'] },
    { name: 'c1', younger: ['c2', 'c3'] },
  ],
  'repair-one-by-one': [{}],
  'name-image-before-snapshot': [{}],
  'compare-with-backup-of-checkpoint': [{ name: 'c1' }],
  'compare-with-backup': [{}],
  'name-image-of-then': [
    { name: 'c1', last: 'base.qcow2', first: undefined },
    { name: 'c1', last: 'base.qcow2', first: 'middle.qcow2' },
  ],
  'repair-on-this-disk': [{ name: 'c1', image: file }],
  'name-checkpoint-of-origin': [{}],
  'repair-forgotten': [{ origin: 'base.qcow2' }],
  'equalize-sizes': [{}],
  'name-disk': [
    { disks: ['vda', 'vdb'], said: undefined },
    { disks: ['vda', 'vdb'], said: 'vda' },
    { disks: ['vda'], said: 'vda' },
  ],
  'name-libvirt-disks': [{}],
  'remove-parent': [{}],
  'save-checkpoint-again': [{}],
  'add-creation-time': [{}],
  'name-checkpoint-folder': [{ folder: undefined }, { folder: '/backup/checkpoints' }],
  'name-one-file': [{}],
  'remove-temporary-bitmap': [{}],
  'upgrade-qemu': [{ since: '6.2' }],
  'wait-for-job': [{}],
  'wait-for-migration': [{}],
  'wait-for-user-of-bitmap': [{}],
  'wait-for-nbd-server': [{}],
  'repair-guest': [{}],
  'name-open-image': [{ images: [] }, { images: [file] }],
  'run-as-qemu-user': [{}],
  'start-monitor': [{}],
  'name-qmp-monitor': [{}],
  'free-monitor': [{}],
  'check-after-crash': [{}],
  'run-again-to-tidy-up': [{}],
  'shorten-temporary-path': [{}],
  'install-virsh': [{}],
  'run-on-host': [{}],
  'name-disk-of-guest': [{ disks: ['vda', 'vdb'] }],
  'run-again-after-snapshot': [{}],
  'shut-down-for-source': [{}],
  'shut-down-to-upgrade': [{ file }],
  'choose-name-free-in-qemu': [{}],
  'use-local-images': [{}],
  'shut-down-or-commit': [{}],
  'shut-down-to-compare': [{}],
};

const ALL = Object.entries(REMEDIES).flatMap(([kind, forms]) =>
  forms.map((form) => ({ kind, ...form }) as Remedy),
);

test.each(COMMANDS)('a hint on $name names only options that exist', async (entry) => {
  const command = commandAtHand(await loadCommand(entry));
  for (const remedy of ALL) {
    const hint = hintFor(remedy, command);
    expect(hint).toMatch(/^[A-Z"](?!.*(undefined|\[object)).*$/);
    expectEqual({ hint, strange: await strangeOptions(hint, entry.name) }, { hint, strange: [] });
  }
});

test('a hint before any command names an option only within a complete command', async () => {
  for (const remedy of ALL) {
    const hint = hintFor(remedy, NO_COMMAND);
    expectEqual({ hint, strange: await strangeOptions(hint, 'completion') }, { hint, strange: [] });
  }
});

test('the check finds an option that neither the command nor a command in the hint has', async () => {
  expect(await strangeOptions('Choose another --name.', 'add')).toEqual(['--name']);
  expect(await strangeOptions('Choose another --name.', 'create-from')).toEqual([]);
  expect(await strangeOptions('Run "bitmap-tool add --name c1" first.', 'create-from')).toEqual(['--name']);
  expect(await strangeOptions('Run this: bitmap-tool nothing --name c1', 'create-from')).toEqual([
    'bitmap-tool nothing',
  ]);
  expect(await strangeOptions('Run "qemu-img check -r all x".', 'add')).toEqual([]);
});
