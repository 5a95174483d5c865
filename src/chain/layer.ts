/**
 * One image of a backing chain, open and locked.
 */
import { alignUp } from '../bytes/align.ts';
import { RefusedError } from '../errors.ts';
import { type BitmapsOpening, type Image, openImage } from '../image/image.ts';
import type { OnWarning } from '../remedy.ts';
import { type FileStorage, fileIdentity } from '../storage/file.ts';
import { readStructure } from '../storage/storage.ts';
import { type Locking, type OpenMode, openLocked } from './locking.ts';
import { PROBE_BYTES, probeFormat } from './probe.ts';
import { type ImageReference, parseReference } from './reference.ts';

interface LayerBase {
  readonly path: string;
  readonly storage: FileStorage;
  readonly virtualSizeBytes: number;
  readonly backing: ImageReference | undefined;
}

export interface Qcow2Layer extends LayerBase {
  readonly format: 'qcow2';
  readonly image: Image;
}

/** A raw image. It provides its whole disk, holes included. */
export interface RawLayer extends LayerBase {
  readonly format: 'raw';
}

export type Layer = Qcow2Layer | RawLayer;

export interface OpenLayerOptions {
  readonly mode: OpenMode;
  readonly locking: Locking;
  /**
   * Identity of a file that this process has already locked. A second lock on it would look like another
   * process's.
   */
  readonly heldIdentity?: string | undefined;
  /** Default: strict. An image that QEMU refuses because of its bitmaps is refused here too. */
  readonly bitmaps?: BitmapsOpening | undefined;
  readonly onWarning?: OnWarning | undefined;
}

/**
 * @throws InUseError when another process uses the image
 * @throws FailedError or RefusedError when it cannot be opened, or its kind is not supported
 */
export async function openLayer(reference: ImageReference, options: OpenLayerOptions): Promise<Layer> {
  const { path } = reference;
  const { heldIdentity } = options;
  const isHeld = heldIdentity !== undefined && (await fileIdentity(path)) === heldIdentity;
  const storage = await openLocked(path, options.mode, isHeld ? 'none' : options.locking);
  try {
    const format = reference.format ?? probeFormat(await readStructure(storage, 0, PROBE_BYTES));
    switch (format) {
      case 'qcow2':
        return await qcow2Layer(reference, storage, options.bitmaps);
      case 'raw':
        return {
          format,
          path,
          storage,
          // QEMU rounds the size to whole sectors.
          virtualSizeBytes: alignUp(storage.sizeBytes, 512),
          backing: undefined,
        };
      default:
        throw new RefusedError('UNSUPPORTED', `${path}: unsupported image format "${format}"`, {
          remedy: { kind: 'convert-format' },
          context: { file: path, format },
        });
    }
  } catch (error) {
    await storage.close();
    throw error;
  }
}

async function qcow2Layer(
  reference: ImageReference,
  storage: FileStorage,
  bitmaps: BitmapsOpening | undefined,
): Promise<Qcow2Layer> {
  const { path } = reference;
  const image = await openImage(storage, bitmaps);
  return {
    format: 'qcow2',
    path,
    storage,
    image,
    virtualSizeBytes: image.header.virtualSizeBytes,
    get backing() {
      if (reference.backing !== undefined) return reference.backing ?? undefined;
      return image.backing && parseReference(image.backing.name, image.backing.format, path);
    },
  };
}
