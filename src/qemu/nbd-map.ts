/**
 * Reads a metadata context over the whole disk, from an NBD server of QEMU.
 */
import type { FailedError } from '../errors.ts';
import { openNbdConnection } from './nbd-connection.ts';
import { descriptor } from './nbd-messages.ts';
import { nbdFailure } from './nbd-stream.ts';

/** Short enough that QEMU attends to its guest and its monitor between two requests. */
const MAX_REQUEST_BYTES = 2 ** 30;

export interface NbdMapVisitor {
  /** All extents in order. Together they cover the disk. The type is the value in the context: a depth, or flags. */
  readonly onExtent: (offset: number, length: number, type: number) => void;
  /** The end of the part that has been visited, after each answer of QEMU. */
  readonly onPosition: (offset: number) => void;
}

/** @throws FailedError when QEMU fails to answer, or its answer does not cover the disk */
export async function visitNbdMap(
  socket: string,
  exportName: string,
  context: string,
  virtualSizeBytes: number,
  signal: AbortSignal | undefined,
  { onExtent, onPosition }: NbdMapVisitor,
): Promise<void> {
  try {
    const connection = await openNbdConnection(socket, exportName, context, signal);
    try {
      let end = 0;
      while (end < virtualSizeBytes) {
        const wanted = Math.min(MAX_REQUEST_BYTES, virtualSizeBytes - end);
        const extents = await connection.blockStatus(end, wanted);
        for (let at = 0; at < extents.byteLength; at += descriptor.sizeBytes) {
          const length = extents.getUint32(at + LENGTH_BYTE);
          // An answer that does not advance would be asked for without end.
          if (length === 0 || length > virtualSizeBytes - end) throw wrongLength(context, end, length);
          onExtent(end, length, extents.getUint32(at + STATUS_BYTE));
          end += length;
        }
        onPosition(end);
      }
    } finally {
      connection.close();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

const LENGTH_BYTE = descriptor.byteOf('length');
const STATUS_BYTE = descriptor.byteOf('statusFlags');

function wrongLength(context: string, offset: number, length: number): FailedError {
  return nbdFailure(`${context} has an extent of ${length} bytes at ${offset}`);
}
