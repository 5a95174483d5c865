/**
 * Remedies about libvirt's checkpoints.
 */
import type { CheckpointRemedy, Consent, RepairCall } from '../../remedy.ts';
import { shellPath, shellWord } from '../../text/shell-word.ts';
import type { Words } from './words.ts';

/** The options that an advised call takes over from the command that advises it. */
export interface RepairWay {
  /** Options that name the guest and the XML of its checkpoints. */
  readonly options: readonly string[];
  /** The disk name in the checkpoints, for each image. */
  readonly disks: ReadonlyMap<string, string>;
}

/** A call that can be pasted into a shell. A person must first replace the words in capitals. */
export function repairCommand(call: RepairCall, way?: RepairWay): string {
  switch (call.kind) {
    case 'repair-directory-first':
      return `bitmap-tool repair --directory ${shellPath(call.file)}`;
    case 'create-checkpoint':
      return createCheckpoint(call.name, call.images);
    case 'resize-image':
      return `qemu-img resize ${shellPath(call.file)} ${call.sizeBytes}`;
    case 'repair-checkpoint': {
      const { images, names = [], consents, origins, branches, isAgainst } = call;
      const disks = images.flatMap((image) => way?.disks.get(image) ?? []);
      return [
        'bitmap-tool repair',
        ...names.flatMap((name) => ['--name', shellWord(name)]),
        ...consents.map(consentOption),
        ...origins.flatMap((origin) => ['--origin', origin === null ? 'IMAGE' : shellPath(origin)]),
        ...branches.flatMap((branch) => ['--branch', shellPath(branch)]),
        ...(isAgainst ? images.flatMap(() => ['--against', 'BACKUP']) : []),
        // With --domain, the guest provides the images.
        ...(way?.options ?? []),
        ...disks.flatMap((disk) => ['--disk', shellWord(disk)]),
        ...(way?.options[0] === '--domain' ? [] : images.map(shellPath)),
      ].join(' ');
    }
  }
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

export const consentOption = (consent: Consent) => `--${consent}`;

const repairFirst = (call: RepairCall) => `Repair it first: ${repairCommand(call)}`;

export const checkpointWords: Words<CheckpointRemedy> = {
  'repair-checkpoint': repairFirst,
  'repair-directory-first': repairFirst,
  'create-checkpoint': repairFirst,
  'resize-image': repairFirst,
  'complete-or-remove-checkpoint': ({ name, images, file }) =>
    `"${createCheckpoint(name, images)}" completes it, "bitmap-tool remove ${shellPath(file)} ${shellWord(name)}" drops it.`,
  'name-parent': (_, command) =>
    command.has('--parent') ? 'Name the parent: --parent NAME' : 'Name the parent.',
  'name-active-images-once': () => 'Name the active image of each disk once.',
  'see-checkpoints': ({ images }) =>
    `See the state of every checkpoint: bitmap-tool check ${images.map(shellPath).join(' ')}`,
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
      : `If that checkpoint still exists, name it: bitmap-tool repair --name ${shellWord(name)} TOP`,
  'give-consent': ({ consents, goesByPath }) => {
    const options = consents.map(consentOption).join(' ');
    const agree = `Agree ("bitmap-tool repair ${options} TOP"), compare with the backup of the checkpoint, which marks the least ("bitmap-tool repair --name NAME --against BACKUP TOP"), or choose the checkpoints to repair ("bitmap-tool repair --name NAME TOP").`;
    return goesByPath
      ? `${agree} If an overlay has taken that path since, name the image that was active then: bitmap-tool repair --name NAME --origin IMAGE TOP`
      : agree;
  },
  'repair-disks-separately': () => 'Repair these disks one after another.',
  'repair-again': () => 'Then run the repair again: it continues from there.',
  'back-up-from-checkpoint': ({ name, younger }) =>
    `After the repair make the next incremental backup from "${name}". virtnbdbackup continues from the last checkpoint of its list: delete ${younger.length === 1 ? 'the younger one' : 'the younger ones, the youngest first'} ("virsh checkpoint-delete DOMAIN ${shellWord(younger.at(-1)!)}"), with the files of that backup and the name in DOMAIN.cpt.`,
  'name-origin': (_, command) =>
    command.has('--origin')
      ? 'If you know which image was active when the checkpoint was made, name it: --origin IMAGE'
      : 'If you know which image was active when the checkpoint was made, name it: bitmap-tool repair --name NAME --origin IMAGE TOP',
  'name-higher-origin': () =>
    'If the checkpoint is younger than that image, name the image above it: bitmap-tool repair --name NAME --origin IMAGE TOP',
  'mark-left-branch': ({ name, left }) => {
    const named = `bitmap-tool repair --name ${shellWord(name)}`;
    const compare = `"${named} --against BACKUP TOP" marks what differs from the backup of the checkpoint`;
    return left === undefined
      ? `What was written to that image counts as changed. ${compare}; without one a full backup is needed.`
      : `What was written to that image counts as changed. "${named} --branch ${shellPath(left)} TOP" marks all that it holds, ${compare}.`;
  },
  'repair-one-by-one': () =>
    'Repair them one by one, each against its own backup: bitmap-tool repair --name NAME --against BACKUP TOP',
  'name-image-before-snapshot': () =>
    'Name the image that was active before the guest went back, with its own backing files.',
  'compare-with-backup': () =>
    'The images do not show what a change of size changed. Compare with a backup instead: bitmap-tool repair --name NAME --against BACKUP TOP',
  'compare-with-backup-of-checkpoint': ({ name }) =>
    `Repair the checkpoint in the image below from the backup that was made with it: bitmap-tool repair --name ${shellWord(name)} --against BACKUP TOP`,
  'name-image-of-then': ({ name, last, first }) => {
    const call = (origin: string) =>
      `"bitmap-tool repair --name ${shellWord(name)} --origin ${shellPath(origin)} TOP"`;
    const others = first === undefined ? '' : `, or ${call(first)} if nothing below it was committed since`;
    return `Name the image that was active then: ${call(last)}${others}.`;
  },
  'repair-on-this-disk': ({ name, image }) =>
    `If the checkpoint covers this disk, repair it by name: bitmap-tool repair --name ${shellWord(name)} --origin IMAGE ${shellPath(image)}`,
  'name-checkpoint-of-origin': () =>
    'Name the checkpoint that began in that image: bitmap-tool repair --name NAME --origin IMAGE TOP',
  'repair-forgotten': ({ origin }) =>
    `If a checkpoint began in this image, repair it: bitmap-tool repair --name NAME --origin ${shellPath(origin)} TOP`,
  'equalize-sizes': () => 'Make the disks equal first: "qemu-img resize" on the smaller image.',
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
