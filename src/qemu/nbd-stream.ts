/**
 * The bytes of a connection to an NBD server of QEMU.
 */
import { connect } from 'node:net';
import { addAbortSignal } from 'node:stream';
import { type ErrorDetails, FailedError } from '../errors.ts';

export interface NbdStream {
  send(...messages: readonly Uint8Array[]): void;
  /**
   * Takes the next `length` bytes.
   *
   * @throws FailedError when the connection fails, ends or is aborted before
   */
  take(length: number): Promise<Buffer>;
  /** Ends the connection after everything is sent. */
  close(): void;
}

export function openNbdStream(path: string, signal: AbortSignal | undefined): NbdStream {
  const socket = connect({ path });
  // `take` reports errors. Without a listener, an error after the last call would end the process.
  socket.on('error', () => {});
  if (signal !== undefined) addAbortSignal(signal, socket);
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let held: Buffer[] = [];
  let heldBytes = 0;
  return {
    send: (...messages) => void socket.write(Buffer.concat(messages)),
    async take(length) {
      while (heldBytes < length) {
        const next = await chunks.next().catch((cause: Error) => {
          throw nbdFailure(cause.message, { cause });
        });
        if (next.done)
          throw nbdFailure('the connection has ended', { remedy: { kind: 'check-after-crash' } });
        held.push(next.value);
        heldBytes += next.value.length;
      }
      const whole = held.length === 1 ? held[0]! : Buffer.concat(held);
      held = [whole.subarray(length)];
      heldBytes -= length;
      return whole.subarray(0, length);
    },
    close: () => socket.destroySoon(),
  };
}

export function nbdFailure(what: string, details?: ErrorDetails): FailedError {
  return new FailedError('IO_ERROR', `the NBD server of QEMU: ${what}`, details);
}
