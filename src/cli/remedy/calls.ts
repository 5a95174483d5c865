/**
 * Calls of this program in hints. They name the same guest, checkpoints and images as the call at hand.
 */
import { shellPath, shellWord } from '../../text/shell-word.ts';
import type { CommandAtHand } from './words.ts';

/** Names a running QEMU or a guest. Not all commands have these options. */
const GUEST = ['--qmp', '--domain', '--connect'] as const;

/** Options of `repair` that say what to repair, and from what. */
const REPAIR = [
  '--name',
  '--rebuild-origin',
  '--enable-disabled',
  '--origin',
  '--branch',
  '--against',
  '--dry-run',
] as const;

/** The values of options, quoted for a shell. An option without a value is true. */
type Changes = { readonly [Option in (typeof REPAIR)[number]]?: readonly string[] | true };

/**
 * A call of `repair`. It has the changed options, and those of the call at hand if that is a call of `repair`, too.
 *
 * @param images instead of those of the call at hand, quoted for a shell
 */
export function repairCall(command: CommandAtHand, changes: Changes, images = imagesOf(command)): string {
  const options = REPAIR.flatMap((option) => {
    const values = changes[option] ?? [];
    if (changes[option] === undefined) return command.name === 'repair' ? command.words(option) : [];
    return values === true ? [option] : values.flatMap((value) => [option, value]);
  });
  const target = targetWords(command);
  // libvirt provides the images of a guest.
  const isGuest = target.includes('--domain');
  return ['bitmap-tool repair', ...options, ...target, ...(isGuest ? [] : images)].join(' ');
}

/** The words that name the guest and the checkpoints of the call at hand. */
export function targetWords(command: CommandAtHand): readonly string[] {
  const isAlike = command.name === 'repair' || command.name === 'check';
  return [
    ...guestWords(command),
    ...(isAlike ? command.words('--checkpoints', '--disk') : []),
    ...command.words('--no-lock'),
  ];
}

function guestWords(command: CommandAtHand): readonly string[] {
  return command.words(...GUEST);
}

export function isForGuest(command: CommandAtHand): boolean {
  return guestWords(command).length > 0;
}

/** The call at hand as it is after the end of its QEMU. */
export function withoutQemu(command: CommandAtHand): CommandAtHand {
  return { ...command, words: (...options) => command.words(...options.filter((each) => each !== '--qmp')) };
}

/** A comparison with one backup for each disk, instead of another source of changes. */
export function fromBackups(count: number): Changes {
  return { ...NO_REBUILD, '--branch': [], '--against': Array<string>(count).fill('BACKUP') };
}

/** @param origin the image in which the checkpoint began, quoted for a shell */
export function beganIn(origin: string): Changes {
  return { ...NO_REBUILD, '--origin': [origin] };
}

/** The call at hand may agree to a rebuild of another image, or from another source. */
const NO_REBUILD: Changes = { '--rebuild-origin': [] };

/** The number of disks that the call at hand names. */
export function diskCount(command: CommandAtHand): number {
  return Math.max(command.images.length, command.words('--disk').length / 2, 1);
}

function imagesOf({ images }: CommandAtHand): readonly string[] {
  return images.length === 0 ? ['ACTIVE_IMAGE'] : images;
}

export function removeCall(command: CommandAtHand, file: string, name: string): string {
  const options = [...guestWords(command), ...command.words('--no-lock')];
  return ['bitmap-tool remove', ...options, shellPath(file), shellWord(name)].join(' ');
}

export function repairDirectoryCall(command: CommandAtHand, file: string): string {
  return ['bitmap-tool repair --directory', ...command.words('--no-lock'), shellPath(file)].join(' ');
}

export function checkCall(command: CommandAtHand, images: readonly string[]): string {
  const options = command.words('--force-share', '--no-lock');
  return ['bitmap-tool check', ...options, ...images.map(shellPath)].join(' ');
}
