/**
 * The images that a guest wrote to before it was reverted to an image below them. They are no longer in its
 * chain. The disk may read differently now where they have data.
 */
import { cleanBitmap, type DirtyBitmap, mergeInto } from '../../bitmap/dirty-bitmap.ts';
import { type Layer, openLayer, type Qcow2Layer } from '../../chain/layer.ts';
import { type ImageReference, parseReference } from '../../chain/reference.ts';
import type { KnownChanges } from '../../checkpoint/repair/known-changes.ts';
import { RefusedError } from '../../errors.ts';
import { layerBitmap } from '../../guest/allocation/layer-bitmap.ts';
import { type ActiveTables, readActiveTables } from '../../image/image.ts';
import { tableReading } from '../../image/table-progress.ts';
import { fileIdentity } from '../../storage/file.ts';
import { lockingOf, type OperationOptions } from '../options.ts';

export interface LeftBranch {
  readonly path: string;
  /** From its top down to the image whose backing image is in a present chain. */
  readonly images: readonly Qcow2Layer[];
  /** Indexes of the chain that it branches from, and of the image in that chain. */
  readonly disk: number;
  readonly fork: number;
  close(): Promise<void>;
}

/**
 * Opens the images of a branch for reading, as far as they are not in a present chain.
 *
 * @param chains the images of each disk's present chain, top first
 * @throws RefusedError when it branches from none of them
 */
export async function openBranch(
  name: string,
  chains: readonly (readonly Layer[])[],
  options: OperationOptions,
): Promise<LeftBranch> {
  const images: Qcow2Layer[] = [];
  const close = async () => void (await Promise.all(images.map(({ storage }) => storage.close())));
  let next: ImageReference | undefined = parseReference(name, undefined);
  const { path } = next;
  try {
    for (;;) {
      if (next === undefined) throw standsOnNone(path, chains);
      const place = placeOf(await fileIdentity(next.path), chains);
      if (place !== undefined) {
        if (images.length === 0) throw standsOnNone(path, chains);
        return { path, images, ...place, close };
      }
      const layer: Layer = await openLayer(next, {
        mode: 'read',
        locking: lockingOf(options),
        onWarning: options.onWarning,
      });
      if (
        layer.format === 'raw' ||
        images.some(({ storage }) => storage.identity === layer.storage.identity)
      ) {
        await layer.storage.close();
        throw standsOnNone(path, chains);
      }
      images.push(layer);
      next = layer.backing;
    }
  } catch (error) {
    await close();
    throw error;
  }
}

function placeOf(
  identity: string,
  chains: readonly (readonly Layer[])[],
): { disk: number; fork: number } | undefined {
  for (const [disk, layers] of chains.entries()) {
    const fork = layers.findIndex(({ storage }) => storage.identity === identity);
    if (fork >= 0) return { disk, fork };
  }
  return undefined;
}

function standsOnNone(path: string, chains: readonly (readonly Layer[])[]): RefusedError {
  const list = chains.map((layers) => layers.map((layer) => layer.path).join(' ← ')).join(', ');
  return new RefusedError(
    'BROKEN_CHAIN',
    `${path}: is not a branch of the present chain: it must have an image of the chain below it and must not be part of the chain, which is ${list}`,
    {
      remedy: { kind: 'name-image-before-snapshot' },
      context: { file: path },
    },
  );
}

export async function changesOnBranch(
  { path, images, fork }: LeftBranch,
  virtualSizeBytes: number,
  options: OperationOptions,
): Promise<Extract<KnownChanges, { kind: 'branch' }>> {
  const other = images.find((layer) => layer.virtualSizeBytes !== virtualSizeBytes);
  if (other !== undefined) {
    throw new RefusedError(
      'SIZE_MISMATCH',
      `${other.path}: its disk has ${other.virtualSizeBytes} bytes, that of the guest today ${virtualSizeBytes}`,
      {
        remedy: { kind: 'compare-with-backup' },
        context: { file: other.path, sizeBytes: other.virtualSizeBytes, otherSizeBytes: virtualSizeBytes },
      },
    );
  }
  const tables: ActiveTables[] = [];
  for (const { image } of images) tables.push(await readActiveTables(image));
  return {
    kind: 'branch',
    path,
    fork,
    async indexOf(name) {
      const identity = await fileIdentity(name).catch(() => undefined);
      const index = images.findIndex(({ storage }) => storage.identity === identity);
      return index < 0 ? undefined : index;
    },
    async allocated(from, granularityBits): Promise<DirtyBitmap> {
      const form = { content: 'allocated', virtualSizeBytes, granularityBits } as const;
      const reading = tableReading(tables.slice(from), options);
      const marks = cleanBitmap(virtualSizeBytes, granularityBits);
      for (const each of tables.slice(from))
        mergeInto(marks, (await layerBitmap(each, form, reading)).bitmap);
      return marks;
    },
  };
}
