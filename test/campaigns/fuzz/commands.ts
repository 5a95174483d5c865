/** The commands that run on broken images, one in each line. Add a new command here. */
import type { Random } from '../../support/random.ts';

export interface FuzzedCommand {
  readonly kind: 'reads' | 'writes';
  /** Without the name of the program. */
  args(image: string, pick: Picks): string[];
}

/** The other inputs of a command line. */
interface Picks {
  readonly random: Random;
  /** A bitmap that the sound image had; `absent` where it had none. */
  readonly bitmap: string;
  /** The sound image in the folder of the broken one. */
  readonly original: string;
}

const GRANULARITIES = ['512', '4k', '64k', '1M', '2G'];

export const COMMANDS: readonly FuzzedCommand[] = [
  { kind: 'reads', args: (image) => ['list', image] },
  { kind: 'reads', args: (image) => ['list', '--chain', image] },
  { kind: 'reads', args: (image) => ['map', image] },
  { kind: 'reads', args: (image) => ['map', '--layer', image] },
  { kind: 'reads', args: (image, { bitmap }) => ['dump', image, bitmap] },
  { kind: 'reads', args: (image, { bitmap }) => ['dump', '--chain', image, bitmap] },
  { kind: 'reads', args: (image) => ['dump', image, '#ALLOCATED'] },
  { kind: 'reads', args: (image) => ['measure', '--allocated', image] },
  {
    kind: 'reads',
    args: (image, { bitmap, original }) => ['verify', image, bitmap, '--against', original],
  },
  {
    kind: 'reads',
    args: (image, { original }) => ['verify', original, '#ALLOCATED', '--against', image],
  },
  { kind: 'reads', args: (image) => ['create-from', '--allocated', '--dry-run', image] },
  { kind: 'reads', args: (image) => ['check', image] },
  { kind: 'reads', args: (image, { original }) => ['check', image, original] },
  { kind: 'reads', args: (image) => ['repair', '--dry-run', image] },
  { kind: 'reads', args: (image, { bitmap }) => ['checkpoint-xml', '--disk', 'vda', '-n', bitmap, image] },
  {
    kind: 'reads',
    args: (image, { bitmap }) => [
      'create-from',
      '--bitmap',
      bitmap,
      '--chain',
      '--into',
      `${image}.new`,
      '--dry-run',
      image,
    ],
  },
  { kind: 'writes', args: (image) => ['repair', image] },
  { kind: 'writes', args: (image) => ['remove', '--all', '--chain', image] },
  { kind: 'writes', args: (image) => ['checkpoint-create', 'next', '--disk', 'vda', image] },
  { kind: 'writes', args: (image) => ['repair', '--directory', image] },
  {
    kind: 'writes',
    args: (image, { bitmap }) => ['repair', '--name', bitmap, '--rebuild-origin', '--enable-disabled', image],
  },
  { kind: 'writes', args: (image) => ['create-from', '--allocated', image] },
  {
    kind: 'writes',
    args: (image, { random }) => [
      'create-from',
      '--allocated',
      '-n',
      'new',
      '-g',
      random.pick(GRANULARITIES),
      image,
    ],
  },
  {
    kind: 'writes',
    args: (image, { bitmap }) => ['create-from', '--allocated', '-n', bitmap, '--if-exists', 'merge', image],
  },
  {
    kind: 'writes',
    args: (image, { bitmap }) => ['create-from', '--data', '-n', bitmap, '--if-exists', 'replace', image],
  },
  { kind: 'writes', args: (image) => ['create-from', '--everything', '-n', 'all', '--disabled', image] },
  {
    kind: 'writes',
    args: (image, { original }) => ['create-from', '--compare', original, '-n', 'differs', image],
  },
  {
    kind: 'writes',
    args: (image, { original, bitmap }) => [
      'create-from',
      '--bitmap',
      bitmap,
      '--from',
      image,
      '-n',
      'copy',
      original,
    ],
  },
  { kind: 'writes', args: (image) => ['add', image, 'one', 'two', 'three'] },
  { kind: 'writes', args: (image, { bitmap }) => ['remove', image, bitmap] },
  { kind: 'writes', args: (image, { bitmap }) => ['clear', image, bitmap] },
  { kind: 'writes', args: (image, { bitmap }) => ['enable', image, bitmap] },
  { kind: 'writes', args: (image, { bitmap }) => ['disable', image, bitmap] },
  { kind: 'writes', args: (image, { bitmap }) => ['merge', image, bitmap, '#ALLOCATED'] },
  {
    kind: 'writes',
    args: (image) => ['bitmap', '--add', '--merge', '#ALLOCATED', '--disable', image, 'drop-in'],
  },
  { kind: 'writes', args: (image, { bitmap }) => ['bitmap', '--remove', image, bitmap] },
];
