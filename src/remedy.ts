/**
 * What a person can do about an error, a warning or a problem, as data. The core names no command-line option: the
 * caller words a remedy for the options that its user has.
 */

export type Remedy = SimpleRemedy | { readonly kind: 'steps'; readonly steps: readonly SimpleRemedy[] };

export type SimpleRemedy =
  | FileRemedy
  | ImageRemedy
  | BitmapRemedy
  | ChainRemedy
  | CheckpointRemedy
  | QemuRemedy;

/** One remedy after another; those of a remedy with steps are taken one by one. */
export function inSteps(...remedies: readonly (Remedy | undefined)[]): Remedy {
  const steps = remedies.flatMap((remedy) => {
    if (remedy === undefined) return [];
    return remedy.kind === 'steps' ? remedy.steps : [remedy];
  });
  return { kind: 'steps', steps };
}

/** Is called with what an operation found and what does not stop it. */
export type OnWarning = (message: string, remedy?: Remedy) => void;

/** About files, the file system and other programs. */
export type FileRemedy =
  | { readonly kind: 'name-file-or-device' }
  | { readonly kind: 'get-permission'; readonly to: 'read' | 'write' }
  | { readonly kind: 'free-space' }
  | { readonly kind: 'raise-file-size-limit' }
  | { readonly kind: 'stop-other-writer' }
  /** The message says what went wrong. */
  | { readonly kind: 'remove-cause' }
  /** `programs` have the image open; it is empty where they are not visible from here. */
  | {
      readonly kind: 'stop-programs';
      readonly programs: readonly string[];
      readonly toDo: 'write' | 'read' | 'read-shared';
    }
  | { readonly kind: 'plan-only' }
  | { readonly kind: 'work-without-locks' }
  | { readonly kind: 'extend-device'; readonly neededBytes: number }
  | { readonly kind: 'name-new-file' }
  | { readonly kind: 'choose-writable-folder' }
  | { readonly kind: 'choose-other-file-system' }
  /** The command that failed completes its work when it is called again. */
  | { readonly kind: 'run-again' };

/** About one qcow2 image. */
export type ImageRemedy =
  | { readonly kind: 'restore-copy' }
  /** The file was cut off. */
  | { readonly kind: 'restore-copy-or-check'; readonly file: string }
  /** `qemu-img check`, which changes nothing. */
  | { readonly kind: 'check'; readonly file: string; readonly copyFirst?: boolean }
  /** `qemu-img check -r all`. */
  | ({ readonly kind: 'check-and-repair'; readonly copyFirst?: boolean } & QemuWrites)
  | ({ readonly kind: 'upgrade-version' } & QemuWrites)
  | { readonly kind: 'enlarge-clusters' }
  | { readonly kind: 'shorten-backing-name' }
  | { readonly kind: 'use-original-software' }
  /** The bitmaps extension has a wrong length, which only an editor of bytes corrects. */
  | { readonly kind: 'correct-extension-length' }
  /** Clearing autoclear bit 0 makes QEMU ignore the bitmaps: `byte` is what to store at `offset`. */
  | {
      readonly kind: 'disown-bitmaps';
      readonly file: string;
      readonly offset: number;
      readonly byte: number;
    }
  /** A change failed and left clusters that nothing uses. */
  | { readonly kind: 'free-leaks-of-failure'; readonly file: string }
  | ({ readonly kind: 'free-leaks' } & QemuWrites)
  | { readonly kind: 'overlay-raw-image'; readonly file: string };

/** QEMU is to write to the image, and drops its outdated bitmaps then. */
interface QemuWrites {
  readonly file: string;
  /** The image has outdated bitmaps, which may be the only trace of where a checkpoint began. */
  readonly dropsOutdated: boolean;
}

/** About bitmaps stored in an image. */
export type BitmapRemedy =
  /** `opens`: QEMU refuses the image until then. */
  | {
      readonly kind: 'repair-directory';
      readonly file: string;
      readonly copyFirst?: boolean;
      readonly opens?: boolean;
    }
  /** Their names are worth keeping where checkpoints rest on them. */
  | { readonly kind: 'keep-outdated-names'; readonly file: string }
  | { readonly kind: 'rebuild-or-remove-in-use'; readonly file: string }
  | { readonly kind: 'remove-bitmap'; readonly file: string; readonly name: string }
  | { readonly kind: 'remove-unneeded-bitmaps' }
  /** Which bitmaps are not needed cannot be known; all of them can go. */
  | { readonly kind: 'remove-all-bitmaps' }
  /** A bitmap that was to be read cannot be: another call replaces it. */
  | { readonly kind: 'replace-bitmap'; readonly file: string; readonly name: string }
  /** The call itself can replace the bitmap, or add to it. */
  | { readonly kind: 'replace-target'; readonly file: string; readonly name: string }
  | { readonly kind: 'add-to-target'; readonly file: string; readonly name: string }
  | { readonly kind: 'choose-other-name-or-change'; readonly file: string; readonly name: string }
  /** The name is that of the pseudo-bitmap. */
  | { readonly kind: 'choose-stored-name' }
  | { readonly kind: 'keep-granularity-or-replace' }
  | { readonly kind: 'coarsen-granularity'; readonly leastBytes: number }
  | { readonly kind: 'use-fewer-bitmaps' }
  | { readonly kind: 'name-new-bitmap' }
  | { readonly kind: 'name-existing-bitmap'; readonly names: readonly string[] }
  /** Disks have different sizes: what lies beyond the shorter one may count as dirty. */
  | { readonly kind: 'accept-any-size' }
  | { readonly kind: 'fill-images-between' };

/** About names of images and what they name. */
export type ChainRemedy =
  | { readonly kind: 'name-local-image' }
  | { readonly kind: 'write-as-path'; readonly path: string }
  | { readonly kind: 'name-image-itself'; readonly path: string }
  | { readonly kind: 'convert-format' }
  | { readonly kind: 'correct-backing-name'; readonly file: string }
  | { readonly kind: 'store-backing-format'; readonly file: string }
  | { readonly kind: 'state-raw-format'; readonly file: string }
  | { readonly kind: 'name-data-file-from-here' }
  /** A comparison needs a disk as it was before. */
  | { readonly kind: 'name-earlier-disk' }
  | { readonly kind: 'rebase-backup'; readonly file: string }
  | { readonly kind: 'decrypt' };

/** What a person must agree to before a repair does it. */
export type Consent = 'rebuild-origin' | 'enable-disabled';

/** About libvirt's checkpoints. */
export type CheckpointRemedy =
  | RepairCall
  | {
      readonly kind: 'complete-or-remove-checkpoint';
      readonly name: string;
      /** Of all disks. */
      readonly images: readonly string[];
      /** The one that has the bitmap. */
      readonly file: string;
    }
  | { readonly kind: 'name-parent' }
  | { readonly kind: 'name-active-images-once' }
  | { readonly kind: 'see-checkpoints'; readonly images: readonly string[] }
  | { readonly kind: 'leave-out-image' }
  /** `isOrdered`: the names are in the order in which they were made; the images do not show it. */
  | {
      readonly kind: 'order-checkpoints';
      readonly names: readonly string[];
      readonly isOrdered: boolean;
    }
  | { readonly kind: 'name-existing-checkpoint'; readonly names: readonly string[] }
  /** The checkpoint may be one that was deleted: a person must ask for it by name. */
  | { readonly kind: 'confirm-checkpoint'; readonly name: string }
  /** `goesByPath`: where a checkpoint began is known only from a path, which another image may have had then. */
  | {
      readonly kind: 'give-consent';
      readonly consents: readonly Consent[];
      readonly goesByPath: boolean;
    }
  | { readonly kind: 'repair-disks-separately' }
  | { readonly kind: 'repair-again' }
  /** Once it is repaired; `younger` are the checkpoints that were made after it. */
  | {
      readonly kind: 'back-up-from-checkpoint';
      readonly name: string;
      readonly younger: readonly string[];
    }
  | { readonly kind: 'name-origin' }
  | { readonly kind: 'name-higher-origin' }
  /** The image that has left the chain is `left`, where it is still there and stands on the chain. */
  | { readonly kind: 'mark-left-branch'; readonly name: string; readonly left: string | undefined }
  | { readonly kind: 'repair-one-by-one' }
  | { readonly kind: 'name-image-before-snapshot' }
  | { readonly kind: 'compare-with-backup' }
  | { readonly kind: 'compare-with-backup-of-checkpoint'; readonly name: string }
  /** `first` is another image, from which on it may be where nothing below was committed since. */
  | {
      readonly kind: 'name-image-of-then';
      readonly name: string;
      readonly last: string;
      readonly first: string | undefined;
    }
  /** Other disks have the checkpoint. */
  | { readonly kind: 'repair-on-this-disk'; readonly name: string; readonly image: string }
  | { readonly kind: 'name-checkpoint-of-origin' }
  /** Bitmaps that may have been those of checkpoints are gone from this image. */
  | { readonly kind: 'repair-forgotten'; readonly origin: string }
  | { readonly kind: 'equalize-sizes' }
  /** `disks`: the targets of the disks of the checkpoints; `said`: the one that the image was said to be. */
  | { readonly kind: 'name-disk'; readonly disks: readonly string[]; readonly said: string | undefined }
  | { readonly kind: 'name-libvirt-disks' }
  | { readonly kind: 'remove-parent' }
  | { readonly kind: 'save-checkpoint-again' }
  | { readonly kind: 'add-creation-time' }
  /** `folder` holds what was looked for. */
  | { readonly kind: 'name-checkpoint-folder'; readonly folder: string | undefined }
  | { readonly kind: 'name-one-file' }
  | { readonly kind: 'remove-temporary-bitmap' };

/** One call that makes a checkpoint valid, or is the first step to that. */
export type RepairCall =
  | {
      readonly kind: 'repair-checkpoint';
      /** The active images of the disks. */
      readonly images: readonly string[];
      /** Undefined: the call without names repairs them, too. */
      readonly names: readonly string[] | undefined;
      readonly consents: readonly Consent[];
      /** The images in which they began, one for a disk at most; null where only a person knows. */
      readonly origins: readonly (string | null)[];
      /** Images that have left the chain, with what was written to them. */
      readonly branches: readonly string[];
      /** A backup of the checkpoint is needed for each disk, which only a person knows. */
      readonly isAgainst: boolean;
    }
  | { readonly kind: 'repair-directory-first'; readonly file: string }
  /** Its creation was cut short: `images` are those of all disks. */
  | { readonly kind: 'create-checkpoint'; readonly name: string; readonly images: readonly string[] }
  | { readonly kind: 'resize-image'; readonly file: string; readonly sizeBytes: number };

/** About a running QEMU and its monitor. */
export type QemuRemedy =
  /** `since` is a version of QEMU. */
  | { readonly kind: 'upgrade-qemu'; readonly since: string }
  | { readonly kind: 'wait-for-job' }
  | { readonly kind: 'wait-for-migration' }
  | { readonly kind: 'wait-for-user-of-bitmap' }
  | { readonly kind: 'wait-for-nbd-server' }
  | { readonly kind: 'repair-guest' }
  /** `images` are those that QEMU has open. */
  | { readonly kind: 'name-open-image'; readonly images: readonly string[] }
  | { readonly kind: 'run-as-qemu-user' }
  | { readonly kind: 'start-monitor' }
  | { readonly kind: 'name-qmp-monitor' }
  | { readonly kind: 'free-monitor' }
  | { readonly kind: 'check-after-crash' }
  | { readonly kind: 'run-again-to-tidy-up' }
  | { readonly kind: 'shorten-temporary-path' }
  | { readonly kind: 'install-libnbd' }
  | { readonly kind: 'install-virsh' }
  | { readonly kind: 'run-on-host' }
  | { readonly kind: 'name-disk-of-guest'; readonly disks: readonly string[] }
  | { readonly kind: 'run-again-after-snapshot' }
  | { readonly kind: 'shut-down-for-source' }
  | { readonly kind: 'shut-down-to-upgrade'; readonly file: string }
  | { readonly kind: 'choose-name-free-in-qemu' }
  | { readonly kind: 'use-local-images' }
  | { readonly kind: 'shut-down-or-commit' }
  | { readonly kind: 'shut-down-to-compare' };
