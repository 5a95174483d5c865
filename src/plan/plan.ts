/**
 * A change to an image as data. Planning reads the image and writes nothing. Dry runs and the power-cut tests
 * read the plan, and applyPlan carries it out.
 */
import { RefusedError } from '../errors.ts';
import { type HostOffset, hostOffset } from '../format/addresses.ts';
import type { Storage } from '../storage/storage.ts';

export type Step =
  | {
      readonly kind: 'write';
      readonly offset: HostOffset;
      readonly bytes: Uint8Array;
      /** The meaning of these bytes, in the specification's words. */
      readonly reason: string;
    }
  | { readonly kind: 'flush'; readonly reason: string };

/**
 * An interruption may follow any prefix of the steps. Any subset of the writes since the last flush may be
 * stored, and each may be torn between two sectors. In every such state the image opens in QEMU, its disk is
 * unchanged, and its bitmaps are the old set or the new one. At worst clusters have leaked.
 */
export interface Plan {
  readonly steps: readonly Step[];
  /** Index of the step whose completion makes the new set durable. */
  readonly commitIndex: number;
  readonly claimedClusters: number;
  readonly releasedClusters: number;
  /** Size of the image after the plan. */
  readonly newEndOffset: number;
}

export function write(offset: HostOffset, bytes: Uint8Array, reason: string): Step {
  return { kind: 'write', offset, bytes, reason };
}

/** @param byte offset within the header cluster, which is the first cluster */
export function writeHeader(byte: number, bytes: Uint8Array, reason: string): Step {
  return write(hostOffset(byte), bytes, reason);
}

export function flush(reason: string): Step {
  return { kind: 'flush', reason };
}

/** @throws RefusedError when the device of the image is too small for the plan */
export function refuseGrowingDevice(
  { name, sizeBytes, canGrow }: Pick<Storage, 'name' | 'sizeBytes' | 'canGrow'>,
  { newEndOffset }: Plan,
): void {
  if (canGrow || newEndOffset <= sizeBytes) return;
  throw new RefusedError(
    'NO_ROOM',
    `${name}: the device has ${sizeBytes} bytes, the bitmaps need ${newEndOffset}`,
    {
      remedy: { kind: 'extend-device', neededBytes: newEndOffset },
      context: { file: name, sizeBytes, neededBytes: newEndOffset },
    },
  );
}

/** Number of bytes that the plan writes. */
export function bytesWritten({ steps }: Plan): number {
  return steps.reduce((sum, step) => sum + (step.kind === 'write' ? step.bytes.length : 0), 0);
}
