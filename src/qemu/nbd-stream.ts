/**
 * The bytes of a connection to an NBD server of QEMU.
 */
import { connect } from 'node:net';
import { type ErrorDetails, FailedError } from '../errors.ts';

export interface NbdStream {
  send(...messages: readonly Uint8Array[]): void;
  /**
   * Takes the next `length` bytes. An abort of the signal rejects with its reason, and leaves the connection
   * open.
   *
   * @throws FailedError when the connection fails or ends before
   */
  take(length: number): Promise<Buffer>;
  close(): void;
}

export function openNbdStream(path: string, signal: AbortSignal | undefined): NbdStream {
  const socket = connect({ path });
  // `take` reports errors. Without a listener, an error after the last call would end the process.
  socket.on('error', () => {});
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let stopWaiting: (reason: unknown) => void = () => {};
  const onAbort = () => stopWaiting(signal?.reason);
  signal?.addEventListener('abort', onAbort);
  const nextChunk = () =>
    new Promise<IteratorResult<Buffer>>((resolve, reject) => {
      stopWaiting = reject;
      chunks.next().then(resolve, (cause: Error) => reject(nbdFailure(cause.message, { cause })));
    });
  let held: Buffer[] = [];
  let heldBytes = 0;
  return {
    send: (...messages) => void socket.write(Buffer.concat(messages)),
    async take(length) {
      while (heldBytes < length) {
        signal?.throwIfAborted();
        const { value, done } = await nextChunk();
        if (done) throw nbdFailure('the connection has ended', { remedy: { kind: 'check-after-crash' } });
        held.push(value);
        heldBytes += value.length;
      }
      const whole = held.length === 1 ? held[0]! : Buffer.concat(held);
      held = [whole.subarray(length)];
      heldBytes -= length;
      return whole.subarray(0, length);
    },
    close() {
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
    },
  };
}

export function nbdFailure(what: string, details?: ErrorDetails): FailedError {
  return new FailedError('IO_ERROR', `the NBD server of QEMU: ${what}`, details);
}
