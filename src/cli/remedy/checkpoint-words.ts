/**
 * Remedies about libvirt's checkpoints.
 */
import type { CheckpointRemedy, Consent, ConsentRemedy, RepairCall } from '../../remedy.ts';
import { shellPath, shellWord } from '../../text/shell-word.ts';
import {
  beganIn,
  checkCall,
  diskCount,
  fromBackups,
  isForGuest,
  removeCall,
  repairCall,
  targetWords,
  withoutQemu,
} from './calls.ts';
import type { CommandAtHand, Words } from './words.ts';

/** The options that an advised call takes over from the command that advises it. */
export interface RepairWay {
  /** Options that name the guest or its QEMU. */
  readonly guest: readonly string[];
  /** A running guest has the images open. */
  readonly isRunning?: boolean;
  /** Options that name the XML of the checkpoints. */
  readonly options: readonly string[];
  /** The active image of each disk. Undefined if no call is for an image below. */
  readonly active?: readonly string[];
  /** The active images are those of all disks of the guest. A call for all of them names no disk. */
  readonly isWholeGuest?: boolean;
  /** The disk name in the checkpoints, for each image. */
  readonly disks: ReadonlyMap<string, string>;
}

/** A call that can be pasted into a shell. A person must first replace the words in capitals. */
export function repairCommand(call: RepairCall, way?: RepairWay): string {
  // Neither a QEMU nor libvirt can do this in an image that a guest uses.
  const whileOff = way?.isRunning ? '  # while the guest is off' : '';
  switch (call.kind) {
    case 'repair-directory-first':
      return `bitmap-tool repair --directory ${shellPath(call.file)}${whileOff}`;
    case 'create-checkpoint':
      return createCheckpoint(call.name, call.images);
    case 'resize-image':
      return `qemu-img resize ${shellPath(call.file)} ${call.sizeBytes}${whileOff}`;
    case 'repair-checkpoint': {
      const { images, names = [], consents, origins, branches, isAgainst } = call;
      const isActive = way?.active === undefined || areActive(call, way.active);
      // A running guest changes what would be compared.
      const isForOff = !isActive || isAgainst || branches.length > 0;
      const isGone = isForOff && way?.guest[0] === '--qmp';
      const guest = isActive && !isGone ? (way?.guest ?? []) : [];
      const isForAll = way?.isWholeGuest === true && images.length === way.active?.length;
      const disks = isForAll ? [] : images.flatMap((image) => way?.disks.get(image) ?? []);
      const words = [
        'bitmap-tool repair',
        ...names.flatMap((name) => ['--name', shellWord(name)]),
        ...consents.map(consentOption),
        ...origins.flatMap((origin) => ['--origin', origin === null ? 'IMAGE' : shellPath(origin)]),
        ...branches.flatMap((branch) => ['--branch', shellPath(branch)]),
        ...(isAgainst ? images.flatMap(() => ['--against', 'BACKUP']) : []),
        // With --domain, the guest provides the images.
        ...guest,
        ...(way?.options ?? []),
        ...disks.flatMap((disk) => ['--disk', shellWord(disk)]),
        ...(guest[0] === '--domain' ? [] : images.map(shellPath)),
      ];
      return `${words.join(' ')}${isForOff ? whileOff : ''}`;
    }
  }
}

function areActive(
  { images }: Extract<RepairCall, { kind: 'repair-checkpoint' }>,
  active: readonly string[],
) {
  return images.every((image) => active.includes(image));
}

/**
 * Sorts calls so that each follows those that it needs.
 *
 * @param active the active images
 */
export function inOrder(calls: readonly RepairCall[], active: readonly string[]): RepairCall[] {
  const rank = (call: RepairCall) => {
    switch (call.kind) {
      case 'repair-directory-first':
        return 0;
      case 'repair-checkpoint':
        // QEMU does not resize a lower image with a broken bitmap.
        return areActive(call, active) ? 3 : 1;
      case 'resize-image':
        return 2;
      case 'create-checkpoint':
        return 4;
    }
  };
  return calls.toSorted((one, other) => rank(one) - rank(other));
}

/**
 * The call that marks the least. It marks only differences from the backup of one checkpoint, instead of all
 * that an image contains.
 */
export function tighterCommand(call: RepairCall, way?: RepairWay): string | undefined {
  if (call.kind !== 'repair-checkpoint' || !call.consents.includes('rebuild-origin')) return undefined;
  const consents = call.consents.filter((consent) => consent !== 'rebuild-origin');
  const names = call.names?.length === 1 ? call.names : ['NAME'];
  return repairCommand({ ...call, names, consents, isAgainst: true }, way);
}

function createCheckpoint(name: string, images: readonly string[]): string {
  return `bitmap-tool checkpoint-create ${shellWord(name)} ${images.map(shellPath).join(' ')}`;
}

export const consentOption = (consent: Consent) => `--${consent}` as const;

const repairFirst = (call: RepairCall, command: CommandAtHand) =>
  `Repair it first: ${repairCommand(call, { guest: targetWords(command), options: [], disks: new Map() })}`;

const agreed = (consents: readonly Consent[]) =>
  Object.fromEntries(consents.map((consent) => [consentOption(consent), true as const]));

const named = (...names: readonly string[]) => ({ '--name': names.map(shellWord) });

/** For a checkpoint that only the user knows. */
const SOME_NAME = named('NAME');

/** The names that the call has, if it has any. */
const ownOrSomeName = (command: CommandAtHand) =>
  command.name === 'repair' && command.words('--name').length > 0 ? {} : SOME_NAME;

const ownOrSomeOrigin = (command: CommandAtHand) =>
  command.name === 'repair' && command.words('--origin').length > 0 ? {} : beganIn('IMAGE');

const compareWithBackup = (command: CommandAtHand, names: { '--name'?: readonly string[] }) =>
  repairCall(command, { ...names, ...fromBackups(diskCount(command)) });

const MOST_NAMES = 4;

/** More names than this would hide the rest of the hint. */
const fewNamed = (names: readonly string[]) => (names.length > MOST_NAMES ? SOME_NAME : named(...names));

function askConsent(
  { consents, goesByPath, diskCount: disks, isRunning, comparable, others }: ConsentRemedy,
  command: CommandAtHand,
): string {
  const [name, ...more] = comparable.names;
  const one = more.length > 0 || name === undefined ? SOME_NAME : named(name);
  const sentences = [`Agree: "${repairCall(command, agreed(consents))}".`];
  if (name !== undefined) {
    const call = repairCall(isRunning ? withoutQemu(command) : command, {
      ...agreed(comparable.consents),
      ...one,
      ...fromBackups(disks),
    });
    const compare = 'compare with the backup of the checkpoint, which marks the least';
    sentences.push(`Or ${isRunning ? 'shut the guest down and ' : ''}${compare}: "${call}".`);
  }
  if (others.length > 0) {
    sentences.push(`Or repair only the other checkpoints: "${repairCall(command, fewNamed(others))}".`);
  }
  if (goesByPath) {
    const call = repairCall(command, { ...one, ...beganIn('IMAGE') });
    sentences.push(
      `If an overlay has taken that path since, name the image that was active then: "${call}".`,
    );
  }
  return sentences.join(' ');
}

export const checkpointWords: Words<CheckpointRemedy> = {
  'repair-checkpoint': repairFirst,
  'repair-directory-first': repairFirst,
  'create-checkpoint': repairFirst,
  'resize-image': repairFirst,
  'complete-or-remove-checkpoint': ({ name, images, file }, command) =>
    `"${createCheckpoint(name, images)}" completes it, "${removeCall(command, file, name)}" drops it.`,
  'name-parent': (_, command) =>
    command.has('--parent') ? 'Name the parent: --parent NAME' : 'Name the parent.',
  'name-active-images-once': () => 'Name the active image of each disk once.',
  'see-checkpoints': ({ images }, command) =>
    `See the state of every checkpoint: ${checkCall(command, images)}`,
  'leave-out-image': () => 'Leave out the image if the checkpoint does not cover its disk.',
  'order-checkpoints': ({ names, isOrdered }, command) => {
    const oldestFirst = `Name those that you want, the oldest first${isOrdered ? '' : ' (the images do not show the order)'}`;
    return command.has('--name')
      ? `${oldestFirst}: ${names.map((each) => `--name ${shellWord(each)}`).join(' ')}`
      : `${oldestFirst}.`;
  },
  'name-existing-checkpoint': ({ names }) => `There are: ${names.join(', ')}`,
  'confirm-checkpoint': ({ name }, command) =>
    command.has('--name')
      ? `If that checkpoint still exists, add --name ${shellWord(name)}.`
      : `If that checkpoint still exists, name it: ${repairCall(command, named(name))}`,
  'give-consent': askConsent,
  'repair-disks-separately': () => 'Repair these disks one after another.',
  'repair-again': () => 'Then run the repair again: it continues from there.',
  'back-up-from-checkpoint': ({ name, younger }) =>
    `After the repair make the next incremental backup from "${name}". virtnbdbackup continues from the last checkpoint of its list: delete ${younger.length === 1 ? 'the younger one' : 'the younger ones, the youngest first'} ("virsh checkpoint-delete DOMAIN ${shellWord(younger.at(-1)!)}"), with the files of that backup and the name in DOMAIN.cpt.`,
  'name-origin': (_, command) =>
    command.has('--origin')
      ? 'If you know which image was active when the checkpoint was made, name it: --origin IMAGE'
      : `If you know which image was active when the checkpoint was made, name it: ${repairCall(command, { ...SOME_NAME, ...beganIn('IMAGE') })}`,
  'name-higher-origin': (_, command) =>
    `If the checkpoint is younger than that image, name the image above it: ${repairCall(command, { ...ownOrSomeName(command), ...beganIn('IMAGE') })}`,
  'mark-left-branch': ({ name, left }, command) => {
    const compare = `"${compareWithBackup(command, named(name))}" marks what differs from the backup of the checkpoint`;
    if (left === undefined)
      return `What was written to that image counts as changed. ${compare}; without one a full backup is needed.`;
    const mark = repairCall(command, { ...named(name), '--branch': [shellPath(left)] });
    return `What was written to that image counts as changed. "${mark}" marks all that it holds, ${compare}.`;
  },
  'repair-one-by-one': (_, command) =>
    `Repair them one by one, each against its own backup: ${compareWithBackup(command, SOME_NAME)}`,
  'name-image-before-snapshot': () =>
    'Name the image that was active before the guest went back, with its own backing files.',
  'compare-with-backup': (_, command) =>
    `The images do not show what a change of size changed. Compare with a backup instead: ${compareWithBackup(command, ownOrSomeName(command))}`,
  'compare-with-backup-of-checkpoint': ({ name }, command) =>
    `Repair the checkpoint in the image below from the backup that was made with it: ${compareWithBackup(command, named(name))}`,
  'name-image-of-then': ({ name, last, first }, command) => {
    const call = (origin: string) =>
      `"${repairCall(command, { ...named(name), ...beganIn(shellPath(origin)) })}"`;
    const others = first === undefined ? '' : `, or ${call(first)} if nothing below it was committed since`;
    return `Name the image that was active then: ${call(last)}${others}.`;
  },
  'repair-on-this-disk': ({ name, image, origin }, command) => {
    const began = beganIn(origin === undefined ? 'IMAGE' : shellPath(origin));
    return `If the checkpoint covers this disk, repair it by name: ${repairCall(command, { ...named(name), ...began }, [shellPath(image)])}`;
  },
  'name-checkpoint-of-origin': (_, command) =>
    `Name the checkpoint that began in that image: ${repairCall(command, { ...SOME_NAME, ...ownOrSomeOrigin(command) })}`,
  'repair-forgotten': ({ origin }, command) =>
    `If a checkpoint began in this image, repair it: ${repairCall(command, { ...SOME_NAME, ...beganIn(shellPath(origin)) }, ['ACTIVE_IMAGE'])}`,
  'equalize-sizes': (_, command) =>
    `${isForGuest(command) ? 'Shut the guest down, then make' : 'Make'} the disks equal: "qemu-img resize" on the smaller image.`,
  'name-disk': ({ disks, said }, command) => {
    const others = disks.filter((disk) => disk !== said);
    if (others.length === 0) return 'Leave out the files of checkpoints that are not of this disk.';
    const choice = command.has('--disk')
      ? others.map((disk) => `--disk ${shellWord(disk)}`).join(' or ')
      : others.join(' or ');
    return said === undefined
      ? `Name the disk that it is, one for each image: ${choice}.`
      : `If it is another of their disks, name that one: ${choice}. Otherwise leave out the files of checkpoints that are not of this disk.`;
  },
  'name-libvirt-disks': (_, command) =>
    `"virsh domblklist DOMAIN" shows the names of the disks. Pass one for each image: ${command.has('--disk') ? '' : 'bitmap-tool checkpoint-xml '}--disk NAME`,
  'remove-parent': () =>
    'Remove the <parent> of the oldest one; "virsh checkpoint-list --tree DOMAIN" shows the checkpoints that libvirt knows.',
  'save-checkpoint-again': () => 'Save it again: virsh checkpoint-dumpxml DOMAIN CHECKPOINT',
  'add-creation-time': () =>
    'Add the time of its backup, in seconds since 1970: <creationTime>1700000000</creationTime>',
  'name-checkpoint-folder': ({ folder }) =>
    folder === undefined
      ? 'Name files or a folder with the output of "virsh checkpoint-dumpxml", or the folder "checkpoints" of virtnbdbackup.'
      : `Name the folder ${folder}.`,
  'name-one-file': () => 'Name one of the two files.',
  'remove-temporary-bitmap': () =>
    'Leave it out; "bitmap-tool remove" removes a bitmap that a job left behind.',
};
