/** Chains as data: images without files, with bitmaps in chosen states. */
import type { ChainImage } from '../../../src/checkpoint/chain/chain-images.ts';

export interface MadeUpImage {
  readonly path?: string;
  /** Equal for two names of one file. */
  readonly identity?: string;
}

type Bitmaps = Readonly<Record<string, 'good' | 'disabled' | 'in-use'>>;

/** @param bitmaps of each image by name, top first */
export function chainOf(...bitmaps: Bitmaps[]): ChainImage[] {
  return bitmaps.map((each, index) => madeUpImage(each, { path: `/images/${index}.qcow2` }));
}

export function madeUpImage(bitmaps: Bitmaps, { path, identity }: MadeUpImage): ChainImage {
  const entries = Object.entries(bitmaps).map(([name, state]) => ({
    name,
    auto: state !== 'disabled',
    inUse: state === 'in-use',
  }));
  return {
    layer: { format: 'qcow2', path, image: { bitmaps: { kind: 'live' } }, storage: { identity } },
    present: entries,
    bitmaps: new Map(entries.map((entry) => [entry.name, entry])),
    unreadable: new Set(),
    isBeingWritten: false,
  } as unknown as ChainImage;
}
