/**
 * The bytes that each image provides to each cell, added up from a stream of map extents.
 */
import type { MapExtent } from '../guest/allocation/map-columns.ts';
import { addRange, type CellSums, emptySums } from './cell-sums.ts';
import type { Grid } from './grid.ts';

/** The source of a part of the disk. */
export type Origin =
  | { readonly kind: 'data' | 'zero'; readonly depth: number }
  /** No image holds it, so it reads as zeros. */
  | { readonly kind: 'nothing' }
  /** This image does not hold it, and its backing images were not read. */
  | { readonly kind: 'below' };

export interface OriginSums {
  readonly origin: Origin;
  readonly sums: CellSums;
}

export interface LayerSums {
  add(extents: readonly MapExtent[]): void;
  /** Returns only origins that occur, each with its bytes in every cell. */
  all(): OriginSums[];
}

export function newLayerSums(grid: Grid): LayerSums {
  const byKey = new Map<number, OriginSums>();
  return {
    add(extents) {
      for (const extent of extents) {
        const key = keyOf(extent);
        let entry = byKey.get(key);
        if (entry === undefined) {
          entry = { origin: originOf(extent), sums: emptySums(grid) };
          byKey.set(key, entry);
        }
        addRange(entry.sums, grid, extent.start, extent.length);
      }
    },
    all: () => Array.from(byKey.values()),
  };
}

/** Must be fast: there may be millions of extents. */
function keyOf({ present, zero, depth }: MapExtent): number {
  if (!present) return zero ? -1 : -2;
  return depth * 2 + (zero ? 1 : 0);
}

function originOf({ present, zero, depth }: MapExtent): Origin {
  if (!present) return { kind: zero ? 'nothing' : 'below' };
  return { kind: zero ? 'zero' : 'data', depth };
}
