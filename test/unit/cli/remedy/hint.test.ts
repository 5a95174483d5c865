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
  'rebuild-or-remove-in-use': [{ file, name: 'c1' }],
  'remove-unknown-in-use': [{ file, name: 'c1' }],
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
    {
      consents: ['rebuild-origin'],
      goesByPath: true,
      diskCount: 1,
      isRunning: false,
      comparable: { names: ['c1'], consents: [] },
      others: ['c2'],
    },
    {
      consents: ['rebuild-origin', 'enable-disabled'],
      goesByPath: false,
      diskCount: 2,
      isRunning: true,
      comparable: { names: ['c1', 'c2'], consents: ['enable-disabled'] },
      others: [],
    },
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
  'repair-on-this-disk': [
    { name: 'c1', image: file, origin: undefined },
    { name: 'c1', image: file, origin: file },
  ],
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
  'run-again-after-other-run': [{}],
  'shut-down-for-source': [{}],
  'shut-down-to-upgrade': [{ file }],
  'choose-name-free-in-qemu': [{}],
  'use-local-images': [{}],
  'shut-down-to-write': [{}],
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

/** The hint of a called command, with its arguments and options as commander gives them. */
async function hintOfCall(remedy: Remedy, name: string, args: readonly unknown[], flags: object) {
  const entry = COMMANDS.find((each) => each.name === name)!;
  return hintFor(remedy, commandAtHand(await loadCommand(entry), args, { lock: true, ...flags }));
}

const CONSENT: Remedy = {
  kind: 'give-consent',
  consents: ['enable-disabled'],
  goesByPath: true,
  diskCount: 2,
  isRunning: false,
  comparable: { names: ['c1'], consents: [] },
  others: ['c2', 'c3', 'c4', 'c5', 'c6'],
};

test('a hint of repair repeats its call with the guest, the checkpoints and the other options', async () => {
  const flags = {
    domain: 'vm 1',
    connect: 'qemu:///session',
    checkpoints: ['/cp'],
    disk: ['vda', 'vdb'],
    name: ['c1', "c'7"],
    rebuildOrigin: true,
    branch: ['s1'],
    dryRun: true,
    lock: false,
  };
  const guest = "--domain 'vm 1' --connect qemu:///session --checkpoints /cp --disk vda --disk vdb --no-lock";
  expect(await hintOfCall(CONSENT, 'repair', [[]], flags)).toBe(
    [
      `Agree: "bitmap-tool repair --name c1 --name 'c'\\''7' --rebuild-origin --enable-disabled --branch s1 --dry-run ${guest}".`,
      `Or compare with the backup of the checkpoint, which marks the least: "bitmap-tool repair --name c1 --against BACKUP --against BACKUP --dry-run ${guest}".`,
      `Or repair only the other checkpoints: "bitmap-tool repair --name NAME --rebuild-origin --branch s1 --dry-run ${guest}".`,
      `If an overlay has taken that path since, name the image that was active then: "bitmap-tool repair --name c1 --origin IMAGE --branch s1 --dry-run ${guest}".`,
    ].join(' '),
  );
});

test('a hint names the images of a call as they were given, and ACTIVE_IMAGE if it has none', async () => {
  const origin: Remedy = { kind: 'name-origin' };
  const images = ['json:{"driver":"qcow2"}', '-x.qcow2'];
  expect(await hintOfCall(origin, 'check', [images], { qmp: 'q.sock' })).toMatch(
    /: bitmap-tool repair --name NAME --origin IMAGE --qmp q.sock 'json:{"driver":"qcow2"}' .\/-x.qcow2$/,
  );
  expect(await hintOfCall(origin, 'map', ['disk.qcow2'], {})).toMatch(/IMAGE ACTIVE_IMAGE$/);
});

test('a checkpoint of another disk is repaired on this disk alone, or by the name of the guest', async () => {
  const remedy: Remedy = { kind: 'repair-on-this-disk', name: 'c1', image: 'vdb.qcow2', origin: 'vdb.qcow2' };
  const hint =
    'If the checkpoint covers this disk, repair it by name: bitmap-tool repair --name c1 --origin vdb.qcow2';
  expect(await hintOfCall(remedy, 'repair', [['vda.qcow2', 'vdb.qcow2']], {})).toBe(`${hint} vdb.qcow2`);
  expect(await hintOfCall(remedy, 'repair', [[]], { domain: 'vm1' })).toBe(`${hint} --domain vm1`);
});

test('the options for a running guest are a remedy for an image that its QEMU has open, unless they are given', async () => {
  const busy = (program: string): Remedy => ({ kind: 'stop-programs', programs: [program], toDo: 'write' });
  const hint = /name the guest with --domain, or the socket of its monitor with --qmp/;
  expect(await hintOfCall(busy('qemu-system-x86 (pid 7)'), 'add', ['a', ['b']], {})).toMatch(hint);
  expect(await hintOfCall(busy('qemu-nbd (pid 7)'), 'add', ['a', ['b']], {})).not.toMatch(hint);
  expect(await hintOfCall(busy('qemu-system-x86 (pid 7)'), 'add', ['a', ['b']], { qmp: 'q' })).not.toMatch(
    hint,
  );
  expect(await hintOfCall(busy('qemu-system-x86 (pid 7)'), 'verify', ['a', ['b']], {})).not.toMatch(hint);
});

test('a lower image that QEMU cannot open for writing is repaired by the same call while the guest is off', async () => {
  const remedy: Remedy = { kind: 'shut-down-to-write' };
  expect(await hintOfCall(remedy, 'repair', [[]], { domain: 'vm1' })).toMatch(/run the command again\.$/);
  expect(await hintOfCall(remedy, 'repair', [['a']], { qmp: 'q' })).toMatch(/again without --qmp\.$/);
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
