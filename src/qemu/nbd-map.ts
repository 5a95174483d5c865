/**
 * Reads a metadata context over the whole disk, from an NBD server of QEMU.
 */
import type { FailedError } from '../errors.ts';
import { blockStatus, negotiate } from './nbd-connection.ts';
import { descriptor } from './nbd-messages.ts';
import { nbdFailure, openNbdStream } from './nbd-stream.ts';

/** Short enough that QEMU attends to its guest and its monitor between two requests. */
const MAX_REQUEST_BYTES = 2 ** 30;

export interface NbdMapVisitor {
  /**
   * All extents in order. Together they cover the disk. The type is the value in the context: a depth, or
   * flags.
   */
  readonly onExtent: (offset: number, length: number, type: number) => void;
  /** The end of the part that has been visited, after each answer of QEMU. */
  readonly onPosition: (offset: number) => void;
}

export interface NbdExport {
  readonly socket: string;
  readonly name: string;
  /** The metadata context to read. */
  readonly context: string;
  readonly virtualSizeBytes: number;
  /** Makes QEMU delete the export. */
  delete(): Promise<void>;
}

/**
 * Reads the context of an export, and deletes the export.
 *
 * @throws FailedError when QEMU fails to answer, or its answer does not cover the disk
 */
export async function visitNbdMap(
  from: NbdExport,
  { onExtent, onPosition }: NbdMapVisitor,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { socket, name, context, virtualSizeBytes } = from;
  const stream = openNbdStream(socket, signal);
  try {
    const id = await negotiate(stream, name, context);
    let end = 0;
    while (end < virtualSizeBytes) {
      const wanted = Math.min(MAX_REQUEST_BYTES, virtualSizeBytes - end);
      const extents = await blockStatus(stream, id, end, wanted);
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
    // QEMU must end the connection. If a client leaves an export that an I/O thread serves, QEMU 7.2.22
    // aborts (assertion in nbd_blockdev_client_closed).
    await from.delete();
    stream.close();
  }
}

const LENGTH_BYTE = descriptor.byteOf('length');
const STATUS_BYTE = descriptor.byteOf('statusFlags');

function wrongLength(context: string, offset: number, length: number): FailedError {
  return nbdFailure(`${context} has an extent of ${length} bytes at ${offset}`);
}
