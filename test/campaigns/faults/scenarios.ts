/** The changes that are interrupted, each on a copy of a committed image. Add a new command here. */
import type { EditedImage } from '../../unit/image/edited-image.ts';

export interface Scenario {
  readonly name: string;
  /** Folder of fixtures/images. */
  readonly fixture: string;
  /** Breaks the image first; QEMU may refuse it then. */
  readonly spoil?: (image: EditedImage) => void;
  /** @param image the top of the chain */
  readonly args: (image: string) => string[];
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a first bitmap, the name of the backing file being in the way',
    fixture: 'bitmap-missing-in-overlay',
    args: (image) => ['create-from', '--allocated', image],
  },
  {
    name: 'a first bitmap in clusters of 512 bytes',
    fixture: 'clusters-512',
    args: (image) => ['create-from', '--allocated', '-g', '512', '-n', 'new', image],
  },
  {
    name: 'a first bitmap in clusters of 64 KiB',
    fixture: 'v3-default',
    args: (image) => ['create-from', '--allocated', '-g', '512', '-n', 'new', image],
  },
  {
    name: 'one more bitmap, the extension lying in two sectors',
    fixture: 'bitmap-extension-in-two-sectors',
    args: (image) => ['create-from', '--everything', '-n', 'all', image],
  },
  {
    name: 'two empty bitmaps added',
    fixture: 'bitmap-names',
    args: (image) => ['add', image, 'monday', 'tuesday'],
  },
  {
    name: 'a bitmap removed',
    fixture: 'bitmap-granularities',
    args: (image) => ['remove', image, 'every-4k'],
  },
  {
    name: 'the last bitmap removed',
    fixture: 'bitmap-empty',
    args: (image) => ['remove', image, 'nothing-yet'],
  },
  {
    name: 'every bitmap removed, from each image of the chain',
    fixture: 'bitmap-granularities',
    args: (image) => ['remove', '--all', '--chain', image],
  },
  {
    name: 'a checkpoint created',
    fixture: 'bitmap-missing-in-overlay',
    args: (image) => ['checkpoint-create', 'next', '--disk', 'vda', image],
  },
  {
    name: 'a merge',
    fixture: 'bitmap-added-too-late',
    args: (image) => ['merge', image, 'checkpoint-1', '#ALLOCATED'],
  },
  {
    name: 'a checkpoint repaired',
    fixture: 'bitmap-added-too-late',
    args: (image) => ['repair', image],
  },
  {
    name: 'a directory repaired that QEMU ignores',
    fixture: 'bitmap-autoclear-cleared',
    args: (image) => ['repair', '--directory', image],
  },
  {
    name: 'a directory repaired that QEMU refuses',
    fixture: 'bitmap-granularities',
    spoil: (image) => image.changeEntry(0, { type: 5 }),
    args: (image) => ['repair', '--directory', image],
  },
  {
    name: 'the actions of qemu-img bitmap',
    fixture: 'refcount-bits-1',
    args: (image) => ['bitmap', '--add', '--merge', '#ALLOCATED', '--disable', image, 'drop-in'],
  },
];
