/**
 * A backing chain. It is opened from the top down, and only as far as callers need it.
 */
import { type BitmapToolError, FailedError, RefusedError } from '../errors.ts';
import { fileIdentity } from '../storage/file.ts';
import { type Layer, type OpenLayerOptions, openLayer } from './layer.ts';
import type { ImageReference } from './reference.ts';

/** Far above libvirt's limit of 200. Every layer keeps a file open. */
const MAX_DEPTH = 1000;

export interface Chain {
  readonly top: Layer;
  /**
   * Returns the image `index` steps below the top, or undefined below the base.
   *
   * @throws RefusedError when the chain breaks, loops or is too deep above that image
   */
  layer(index: number): Promise<Layer | undefined>;
  /** Closes every image, which releases its locks. */
  close(): Promise<void>;
}

/** Opens the top image. A backing image is opened on first use, for reading or as `write-later`. */
export async function openChain(reference: ImageReference, options: OpenLayerOptions): Promise<Chain> {
  const top = await openLayer(reference, options);
  const layers = [top];
  let end: 'open' | 'base' | { readonly error: unknown } = 'open';

  async function openNext(): Promise<void> {
    const above = layers.at(-1)!;
    try {
      const next = above.backing;
      if (next === undefined) {
        end = 'base';
        return;
      }
      if (layers.length >= MAX_DEPTH) throw broken(above, `the chain is more than ${MAX_DEPTH} images deep`);
      layers.push(await openBacking(layers, next, options));
    } catch (error) {
      end = { error };
    }
  }

  return {
    top,
    async layer(index) {
      while (index >= layers.length && end === 'open') await openNext();
      if (index < layers.length) return layers[index];
      if (typeof end === 'object') throw end.error;
      return undefined;
    },
    async close() {
      await Promise.all(layers.map(({ storage }) => storage.close()));
    },
  };
}

/** Opens every image of the chain. */
export async function allLayers(chain: Chain): Promise<Layer[]> {
  const layers: Layer[] = [];
  for (
    let layer: Layer | undefined = chain.top;
    layer !== undefined;
    layer = await chain.layer(layers.length)
  ) {
    layers.push(layer);
  }
  return layers;
}

/** The images above the first one that cannot be opened, and the error for that one. */
export async function reachableLayers(
  chain: Chain,
): Promise<{ layers: Layer[]; error: RefusedError | FailedError | undefined }> {
  const layers: Layer[] = [];
  try {
    for (;;) {
      const layer = await chain.layer(layers.length);
      if (layer === undefined) return { layers, error: undefined };
      layers.push(layer);
    }
  } catch (error) {
    if (error instanceof RefusedError || error instanceof FailedError) return { layers, error };
    throw error;
  }
}

async function openBacking(
  layers: readonly Layer[],
  reference: ImageReference,
  options: OpenLayerOptions,
): Promise<Layer> {
  const above = layers.at(-1)!;
  if (reference.format === undefined) {
    options.onWarning?.(
      `${above.path}: names no format for its backing file ${reference.path}; the format is probed, which a guest can fool`,
      { kind: 'store-backing-format', file: above.path },
    );
  }
  try {
    // The identity is read before the file is opened: our own lock would look like another process's.
    const identity = await fileIdentity(reference.path);
    const same = layers.find(({ storage }) => storage.identity === identity);
    if (same !== undefined) {
      const which = same === above ? 'this image itself' : `${same.path}, which is above it`;
      throw broken(above, `its backing file ${reference.path} is ${which}: the chain loops`);
    }
    return await openLayer(reference, { ...options, mode: options.mode === 'write' ? 'read' : options.mode });
  } catch (error) {
    if (!(error instanceof FailedError) || error.code === 'IO_ERROR') throw error;
    throw broken(above, `its backing file cannot be opened: ${error.message}`, error);
  }
}

function broken({ path }: Layer, what: string, cause?: BitmapToolError): RefusedError {
  return new RefusedError('BROKEN_CHAIN', `${path}: ${what}`, {
    cause,
    // If access is denied, the name is correct and needs no correction.
    remedy: cause?.code === 'ACCESS_DENIED' ? cause.remedy : { kind: 'correct-backing-name', file: path },
    context: { file: path },
  });
}
