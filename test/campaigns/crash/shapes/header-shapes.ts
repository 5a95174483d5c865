/** Images with different positions of the bitmaps extension. */
import { readFile, writeFile } from 'node:fs/promises';
import type { BitmapChange } from '../bitmap-plan.ts';
import { planChange } from '../bitmap-plan.ts';
import { examineOpenable } from '../checker/examine.ts';
import { carriedOut } from '../power-cut-states.ts';
import type { Shape } from '../survival.ts';
import { buildImage, type Recipe } from './build.ts';
import {
  bitmapsExtensionTwice,
  inTurn,
  payloadAtInSector,
  setUnknownAutoclearBits,
  unknownExtensionLast,
} from './edits.ts';

const addNew: BitmapChange = { store: [{ name: 'new', granularity: 65536, marks: 'allocated' }] };
const replaceOld: BitmapChange = { store: [{ name: 'old', granularity: 65536, marks: 'random' }] };
const removeOld: BitmapChange = { remove: ['old'] };
const withOld: Recipe = {
  bitmaps: [['old', 65536]],
  dirty: ['write -P 1 64k 128k', 'write -P 2 512k 64k'],
};

function shape(name: string, change: BitmapChange, recipe: Recipe): Shape {
  return { name, change, build: (folder) => buildImage(folder, { io: ['write -P 3 0 64k'], ...recipe }) };
}

/** A name that says `base.qcow2` in many bytes. */
function longName(lengthBytes: number): string {
  const steps = Math.floor((lengthBytes - 'base.qcow2'.length) / 2);
  return `${'./'.repeat(steps)}base.qcow2`;
}

const firstBitmap: Shape[] = [
  shape('a first bitmap, no backing file', addNew, {}),
  shape('a first bitmap, the backing file name in the way', addNew, { backing: 'base.qcow2' }),
  shape('a first bitmap, a backing file name of 600 bytes', addNew, { backing: longName(600) }),
  shape('a first bitmap, a backing file name of 1016 bytes', addNew, { backing: longName(1016) }),
  ...[512, 1024, 2048, 4096].flatMap((clusterSize) => [
    shape(`a first bitmap, clusters of ${clusterSize}`, addNew, { clusterSize }),
    shape(`a first bitmap, clusters of ${clusterSize} and a backing file`, addNew, {
      clusterSize,
      backing: 'base.qcow2',
    }),
  ]),
  ...[1024, 2048].map((clusterSize) =>
    shape(`a first bitmap, clusters of ${clusterSize} and a name of 400 bytes`, addNew, {
      clusterSize,
      backing: longName(400),
    }),
  ),
  shape('a first bitmap behind an unknown extension', addNew, { edit: unknownExtensionLast(13) }),
  shape('a first bitmap with unknown autoclear bits', addNew, { edit: setUnknownAutoclearBits }),
];

const present: Shape[] = [
  shape('another bitmap, payload in one sector', addNew, withOld),
  shape('replaced, payload in one sector, with a backing file', replaceOld, {
    ...withOld,
    backing: 'base.qcow2',
  }),
  shape('the last bitmap removed', removeOld, withOld),
  shape('the last bitmap removed, with a backing file', removeOld, { ...withOld, backing: 'base.qcow2' }),
  ...[512, 4096].map((clusterSize) =>
    shape(`the last bitmap removed, clusters of ${clusterSize}`, removeOld, { ...withOld, clusterSize }),
  ),
  shape('unknown autoclear bits, another bitmap', addNew, { ...withOld, edit: setUnknownAutoclearBits }),
  shape('unknown autoclear bits, the last bitmap removed', removeOld, {
    ...withOld,
    edit: setUnknownAutoclearBits,
  }),
];

const twoSectors: Shape[] = [496, 504].flatMap((place) => {
  const straddling = payloadAtInSector(place);
  const followed = inTurn(straddling, unknownExtensionLast(20));
  return [
    shape(`payload at ${place} of its sector, another bitmap`, addNew, { ...withOld, edit: straddling }),
    shape(`payload at ${place} of its sector, replaced`, replaceOld, { ...withOld, edit: straddling }),
    shape(`payload at ${place} of its sector, removed`, removeOld, { ...withOld, edit: straddling }),
    shape(`payload at ${place} of its sector and not last, replaced`, replaceOld, {
      ...withOld,
      edit: followed,
    }),
    shape(`payload at ${place} of its sector and not last, another bitmap`, addNew, {
      ...withOld,
      edit: followed,
    }),
    shape(`payload at ${place} of its sector and not last, removed`, removeOld, {
      ...withOld,
      edit: followed,
    }),
    shape(`extension twice, the first at ${place} of its sector, replaced`, replaceOld, {
      ...withOld,
      edit: inTurn(straddling, bitmapsExtensionTwice),
    }),
    shape(`extension twice, the first at ${place} of its sector, another bitmap`, addNew, {
      ...withOld,
      edit: inTurn(straddling, bitmapsExtensionTwice),
    }),
  ];
});

const notLast: Shape[] = [
  shape('an unknown extension behind, another bitmap', addNew, {
    ...withOld,
    edit: unknownExtensionLast(20),
  }),
  shape('an unknown extension behind, the last bitmap removed', removeOld, {
    ...withOld,
    edit: unknownExtensionLast(20),
  }),
  shape('an unknown extension behind in small clusters, removed', removeOld, {
    ...withOld,
    clusterSize: 512,
    edit: unknownExtensionLast(20),
  }),
];

/** Payloads at 8 + n of the sector: with the first one's frame at 504, the second stands at 536 and 544. */
const twice: Shape[] = [
  shape('extension twice, another bitmap', addNew, { ...withOld, edit: bitmapsExtensionTwice }),
  shape('extension twice, removed', removeOld, { ...withOld, edit: bitmapsExtensionTwice }),
  ...[464, 472].flatMap((place) => {
    // The second one's payload is 32 bytes further on.
    const edit = inTurn(payloadAtInSector(place), bitmapsExtensionTwice);
    const followed = inTurn(edit, unknownExtensionLast(20));
    return [
      shape(`extension twice, the second at ${place + 32} of its sector, replaced`, replaceOld, {
        ...withOld,
        edit,
      }),
      shape(`extension twice, the second at ${place + 32} of its sector, removed`, removeOld, {
        ...withOld,
        edit,
      }),
      shape(`extension twice, the second at ${place + 32} and not last, replaced`, replaceOld, {
        ...withOld,
        edit: followed,
      }),
      shape(`extension twice, the second at ${place + 32} and not last, removed`, removeOld, {
        ...withOld,
        edit: followed,
      }),
    ];
  }),
];

/** What the tool itself left when it removed the last bitmap. */
function emptied(edit: (image: Buffer) => void): Shape['build'] {
  return async (folder) => {
    const path = await buildImage(folder, { ...withOld, edit });
    const image = examineOpenable(await readFile(path));
    const { plan } = await planChange(image.bytes, image.bitmaps, removeOld);
    await writeFile(path, carriedOut(image.bytes, plan));
    return path;
  };
}

const retired: Shape[] = [
  {
    name: 'an emptied extension, a new bitmap',
    change: addNew,
    build: emptied(unknownExtensionLast(20)),
  },
  ...[496, 504].map((place) => ({
    name: `an emptied extension, payload at ${place} of its sector, a new bitmap`,
    change: addNew,
    build: emptied(inTurn(payloadAtInSector(place), unknownExtensionLast(20))),
  })),
  {
    name: 'two emptied extensions, a new bitmap',
    change: addNew,
    build: emptied(inTurn(bitmapsExtensionTwice, unknownExtensionLast(20))),
  },
];

export const headerShapes: Shape[] = [
  ...firstBitmap,
  ...present,
  ...twoSectors,
  ...notLast,
  ...twice,
  ...retired,
];
