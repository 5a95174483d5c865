/**
 * Remedies for errors, warnings and problems, as data. The core names no command-line option: each caller
 * words a remedy for its own options.
 */

export type Remedy = SimpleRemedy | { readonly kind: 'steps'; readonly steps: readonly SimpleRemedy[] };

export type SimpleRemedy =
  | FileRemedy
  | ImageRemedy
  | BitmapRemedy
  | ChainRemedy
  | CheckpointRemedy
  | QemuRemedy;

/** Joins remedies into steps. A remedy with steps adds each of its steps. */
export function inSteps(...remedies: readonly (Remedy | undefined)[]): Remedy {
  const steps = remedies.flatMap((remedy) => {
    if (remedy === undefined) return [];
    return remedy.kind === 'steps' ? remedy.steps : [remedy];
  });
  return { kind: 'steps', steps };
}

/** Receives the findings that do not stop an operation. */
export type OnWarning = (message: string, remedy?: Remedy) => void;

/** About files, the file system and other programs. */
export type FileRemedy =
  | { readonly kind: 'name-file-or-device' }
  | { readonly kind: 'get-permission'; readonly to: 'read' | 'write' }
  | { readonly kind: 'free-space' }
  | { readonly kind: 'raise-file-size-limit' }
  | { readonly kind: 'stop-other-writer' }
  /** The error message names the cause. */
  | { readonly kind: 'remove-cause' }
  /** `programs` have the image open. The list is empty if they are not visible from here. */
  | {
      readonly kind: 'stop-programs';
      readonly programs: readonly string[];
      readonly toDo: 'write' | 'read' | 'read-shared';
    }
  | { readonly kind: 'plan-only' }
  | { readonly kind: 'work-without-locks' }
  /** The optional package koffi is missing or does not load. */
  | { readonly kind: 'install-koffi' }
  /** The standalone program found no folder from which it can load its library. */
  | { readonly kind: 'choose-library-folder' }
  | { readonly kind: 'extend-device'; readonly neededBytes: number }
  | { readonly kind: 'name-new-file' }
  | { readonly kind: 'choose-writable-folder' }
  | { readonly kind: 'choose-other-file-system' }
  /** Another call of the failed command completes its work. */
  | { readonly kind: 'run-again' };

/** About one qcow2 image. */
export type ImageRemedy =
  | { readonly kind: 'restore-copy' }
  /** The file is truncated. */
  | { readonly kind: 'restore-copy-or-check'; readonly file: string }
  /** `qemu-img check`, without changes. */
  | { readonly kind: 'check'; readonly file: string; readonly copyFirst?: boolean }
  /** `qemu-img check -r all`. */
  | ({ readonly kind: 'check-and-repair'; readonly copyFirst?: boolean } & QemuWrites)
  | ({ readonly kind: 'upgrade-version' } & QemuWrites)
  | { readonly kind: 'enlarge-clusters' }
  | { readonly kind: 'shorten-backing-name' }
  | { readonly kind: 'use-original-software' }
  /** The bitmaps extension has a wrong length. Only a byte editor can correct it. */
  | { readonly kind: 'correct-extension-length' }
  /** QEMU ignores the bitmaps when autoclear bit 0 is clear. `byte` must be stored at `offset`. */
  | {
      readonly kind: 'disown-bitmaps';
      readonly file: string;
      readonly offset: number;
      readonly byte: number;
    }
  /** A failed change left leaked clusters. */
  | { readonly kind: 'free-leaks-of-failure'; readonly file: string }
  | ({ readonly kind: 'free-leaks' } & QemuWrites)
  | { readonly kind: 'overlay-raw-image'; readonly file: string };

/** QEMU must write to the image, and then drops its outdated bitmaps. */
interface QemuWrites {
  readonly file: string;
  /** The image has outdated bitmaps. They may be the only record of the image in which a checkpoint began. */
  readonly dropsOutdated: boolean;
}

/** About bitmaps stored in an image. */
export type BitmapRemedy =
  /** `opens`: QEMU refuses the image until this repair. */
  | {
      readonly kind: 'repair-directory';
      readonly file: string;
      readonly copyFirst?: boolean;
      readonly opens?: boolean;
    }
  /** The names are useful if checkpoints depend on them. */
  | { readonly kind: 'keep-outdated-names'; readonly file: string }
  | { readonly kind: 'rebuild-or-remove-in-use'; readonly file: string; readonly name: string }
  /** The known checkpoints are complete, unless libvirt has lost some. None of them has the name of the bitmap. */
  | { readonly kind: 'remove-unknown-in-use'; readonly file: string; readonly name: string }
  | { readonly kind: 'remove-bitmap'; readonly file: string; readonly name: string }
  | { readonly kind: 'remove-unneeded-bitmaps' }
  /** It is unknown which bitmaps are not needed. All of them can be removed. */
  | { readonly kind: 'remove-all-bitmaps' }
  /** A source bitmap cannot be read. Another call replaces it. */
  | { readonly kind: 'replace-bitmap'; readonly file: string; readonly name: string }
  /** The same call can replace the bitmap or add to it. */
  | { readonly kind: 'replace-target'; readonly file: string; readonly name: string }
  | { readonly kind: 'add-to-target'; readonly file: string; readonly name: string }
  | { readonly kind: 'choose-other-name-or-change'; readonly file: string; readonly name: string }
  /** The name belongs to the pseudo-bitmap. */
  | { readonly kind: 'choose-stored-name' }
  | { readonly kind: 'keep-granularity-or-replace' }
  | { readonly kind: 'coarsen-granularity'; readonly leastBytes: number }
  | { readonly kind: 'use-fewer-bitmaps' }
  | { readonly kind: 'name-new-bitmap' }
  | { readonly kind: 'name-existing-bitmap'; readonly names: readonly string[] }
  /** The disks have different sizes. The part beyond the end of the shorter one may count as dirty. */
  | { readonly kind: 'accept-any-size' }
  | { readonly kind: 'fill-images-between' };

/** About image names and the images they refer to. */
export type ChainRemedy =
  | { readonly kind: 'name-local-image' }
  | { readonly kind: 'write-as-path'; readonly path: string }
  | { readonly kind: 'use-utf8-name' }
  | { readonly kind: 'name-image-itself'; readonly path: string }
  | { readonly kind: 'convert-format' }
  | { readonly kind: 'correct-backing-name'; readonly file: string }
  | { readonly kind: 'store-backing-format'; readonly file: string }
  | { readonly kind: 'state-raw-format'; readonly file: string }
  | { readonly kind: 'name-data-file-from-here' }
  /** A comparison needs an earlier state of the disk. */
  | { readonly kind: 'name-earlier-disk' }
  | { readonly kind: 'rebase-backup'; readonly file: string }
  | { readonly kind: 'decrypt' };

/** Actions of a repair that need the user's consent. */
export type Consent = 'rebuild-origin' | 'enable-disabled';

/** About libvirt's checkpoints. */
export type CheckpointRemedy =
  | RepairCall
  | {
      readonly kind: 'complete-or-remove-checkpoint';
      readonly name: string;
      /** Of all disks. */
      readonly images: readonly string[];
      /** The image with the bitmap. */
      readonly file: string;
    }
  | { readonly kind: 'name-parent' }
  | { readonly kind: 'name-active-images-once' }
  | { readonly kind: 'see-checkpoints'; readonly images: readonly string[] }
  | { readonly kind: 'leave-out-image' }
  /** `isOrdered`: the names are in the order of creation. The images do not show this order. */
  | {
      readonly kind: 'order-checkpoints';
      readonly names: readonly string[];
      readonly isOrdered: boolean;
    }
  | { readonly kind: 'name-existing-checkpoint'; readonly names: readonly string[] }
  /** The checkpoint may have been deleted, so the user must name it. */
  | { readonly kind: 'confirm-checkpoint'; readonly name: string }
  | ConsentRemedy
  | { readonly kind: 'repair-disks-separately' }
  | { readonly kind: 'repair-again' }
  /** Applies after the repair. `younger` are the later checkpoints. */
  | {
      readonly kind: 'back-up-from-checkpoint';
      readonly name: string;
      readonly younger: readonly string[];
    }
  | { readonly kind: 'name-origin' }
  | { readonly kind: 'name-higher-origin' }
  /**
   * `left` is the image that has left the chain, if it still exists and its backing chain joins this chain.
   */
  | { readonly kind: 'mark-left-branch'; readonly name: string; readonly left: string | undefined }
  | { readonly kind: 'repair-one-by-one' }
  | { readonly kind: 'name-image-before-snapshot' }
  | { readonly kind: 'compare-with-backup' }
  | { readonly kind: 'compare-with-backup-of-checkpoint'; readonly name: string }
  /** `first` is the highest other candidate. It may be the origin if nothing below it was committed since. */
  | {
      readonly kind: 'name-image-of-then';
      readonly name: string;
      readonly last: string;
      readonly first: string | undefined;
    }
  /** Other disks have the checkpoint. `origin` is the image in which it began, if the chain has no other. */
  | {
      readonly kind: 'repair-on-this-disk';
      readonly name: string;
      readonly image: string;
      readonly origin: string | undefined;
    }
  | { readonly kind: 'name-checkpoint-of-origin' }
  /** This image has lost bitmaps that may have belonged to checkpoints. */
  | { readonly kind: 'repair-forgotten'; readonly origin: string }
  | { readonly kind: 'equalize-sizes' }
  /** `disks`: the targets of the disks of the checkpoints; `said`: the one that the image was said to be. */
  | { readonly kind: 'name-disk'; readonly disks: readonly string[]; readonly said: string | undefined }
  | { readonly kind: 'name-libvirt-disks' }
  | { readonly kind: 'remove-parent' }
  | { readonly kind: 'save-checkpoint-again' }
  | { readonly kind: 'add-creation-time' }
  /** `folder` contains the missing files. */
  | { readonly kind: 'name-checkpoint-folder'; readonly folder: string | undefined }
  | { readonly kind: 'name-one-file' }
  | { readonly kind: 'remove-temporary-bitmap' };

/** A repair may mark far more than has changed. */
export interface ConsentRemedy {
  readonly kind: 'give-consent';
  /** The missing ones. */
  readonly consents: readonly Consent[];
  /**
   * The origin of a checkpoint is known only as a path. That path may have named another image then.
   */
  readonly goesByPath: boolean;
  /** The number of disks. */
  readonly diskCount: number;
  /** The guest must be off for a comparison. */
  readonly isRunning: boolean;
  /**
   * Checkpoints that a comparison with their backup can repair instead. A comparison takes one checkpoint.
   * `consents` are still missing then.
   */
  readonly comparable: { readonly names: readonly string[]; readonly consents: readonly Consent[] };
  /** Broken checkpoints that need no consent. */
  readonly others: readonly string[];
}

/** One call that makes a checkpoint valid, or is the first step. */
export type RepairCall =
  | {
      readonly kind: 'repair-checkpoint';
      /** The active images of the disks. */
      readonly images: readonly string[];
      /** If undefined, the call without names repairs them too. */
      readonly names: readonly string[] | undefined;
      readonly consents: readonly Consent[];
      /**
       * The images in which the checkpoints began, at most one for a disk. null if only the user knows it.
       */
      readonly origins: readonly (string | null)[];
      /** Images that have left the chain and contain writes. */
      readonly branches: readonly string[];
      /** Each disk needs a backup of the checkpoint. Only the user knows where it is. */
      readonly isAgainst: boolean;
    }
  | { readonly kind: 'repair-directory-first'; readonly file: string }
  /** Its creation was interrupted. `images` are the images of all disks. */
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
  /** `images` are the images that QEMU has open. */
  | { readonly kind: 'name-open-image'; readonly images: readonly string[] }
  | { readonly kind: 'run-as-qemu-user' }
  | { readonly kind: 'start-monitor' }
  | { readonly kind: 'name-qmp-monitor' }
  | { readonly kind: 'free-monitor' }
  | { readonly kind: 'check-after-crash' }
  | { readonly kind: 'run-again-to-tidy-up' }
  | { readonly kind: 'shorten-temporary-path' }
  | { readonly kind: 'install-virsh' }
  | { readonly kind: 'run-on-host' }
  | { readonly kind: 'name-disk-of-guest'; readonly disks: readonly string[] }
  | { readonly kind: 'run-again-after-snapshot' }
  | { readonly kind: 'run-again-after-other-run' }
  | { readonly kind: 'shut-down-for-source' }
  | { readonly kind: 'shut-down-to-upgrade'; readonly file: string }
  | { readonly kind: 'choose-name-free-in-qemu' }
  | { readonly kind: 'use-local-images' }
  | { readonly kind: 'shut-down-to-write' }
  | { readonly kind: 'shut-down-to-compare' };
