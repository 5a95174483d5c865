/**
 * Names of bitmaps as libvirt and this tool use them.
 */
import { RefusedError, UsageError } from '../errors.ts';
import { MAX_BITMAP_NAME_BYTES } from '../format/bitmap-directory.ts';

/** The pseudo-bitmap of the allocated ranges of an image. It can be read, but not created or changed. */
export const ALLOCATED = '#ALLOCATED';

/**
 * Bitmaps that libvirt creates for the duration of a job. They do not belong to a checkpoint. That of a
 * backup is named after the target of the disk; people and KubeVirt give checkpoints names like
 * `backup-2026-11-01`.
 */
const TEMPORARY = /^(libvirt-tmp-|libvirt-migration-|backup-((fd|hd|sd|vd|xvd|ubd)[a-z]+|nvme\d+n\d+)$)/;

export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name);
}

/**
 * Whether a bitmap of that name may belong to a checkpoint. QEMU opens an image that has a bitmap with an
 * empty name, but the specification forbids such a name.
 */
export function isLastingName(name: string): boolean {
  return name !== '' && name !== ALLOCATED && !isTemporaryName(name);
}

/** libvirt's rule for the name of a checkpoint, and QEMU's rule for the bitmap of that name. */
export function isCheckpointName(name: string): boolean {
  return /^[a-zA-Z0-9_-][a-zA-Z0-9_.-]*$/.test(name) && name.length <= MAX_BITMAP_NAME_BYTES;
}

/** libvirt's rule for the name of a disk in a checkpoint: its target, or the path of its source. */
export function isDiskName(name: string): boolean {
  return /^((ioemu:)?(fd|hd|sd|vd|xvd|ubd)[a-zA-Z0-9_]+|\/[^\0-\x1f]+)$/.test(name);
}

/**
 * @throws UsageError when QEMU could not store the name
 * @throws RefusedError for the pseudo-bitmap
 */
export function requireStorableName(name: string): void {
  const lengthBytes = new TextEncoder().encode(name).length;
  if (lengthBytes < 1 || lengthBytes > MAX_BITMAP_NAME_BYTES || name.includes('\0')) {
    throw new UsageError(
      `bitmap name of ${lengthBytes} bytes: must have 1…${MAX_BITMAP_NAME_BYTES} bytes, none of them zero`,
    );
  }
  // A surrogate without its partner has no bytes in UTF-8. It would be stored as another character.
  if (!name.isWellFormed())
    throw new UsageError(`bitmap name ${JSON.stringify(name)} is not well-formed Unicode`);
  if (name === ALLOCATED) {
    throw new RefusedError(
      'BITMAP_LIMIT',
      `"${ALLOCATED}" is not a stored bitmap: it always stands for what the image itself holds, and cannot be created or changed`,
      { remedy: { kind: 'choose-stored-name' } },
    );
  }
}
