/**
 * The bytes of a connection to an NBD server of QEMU.
 */
import { connect } from 'node:net';
import { type ErrorDetails, FailedError } from '../errors.ts';

export interface NbdStream {
  send(...messages: readonly Uint8Array[]): void;
  /**
   * Takes the next `length` bytes. An abort of the signal rejects with its reason, and leaves the connection open.
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
  const aborted = new Promise<never>((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  // An abort between two calls is no unhandled rejection.
  aborted.catch(() => {});
  let held: Buffer[] = [];
  let heldBytes = 0;
  return {
    send: (...messages) => void socket.write(Buffer.concat(messages)),
    async take(length) {
      while (heldBytes < length) {
        const next = chunks.next().catch((cause: Error) => {
          throw nbdFailure(cause.message, { cause });
        });
        const { value, done } = await Promise.race([next, aborted]);
        if (done) throw nbdFailure('the connection has ended', { remedy: { kind: 'check-after-crash' } });
        held.push(value);
        heldBytes += value.length;
      }
      const whole = held.length === 1 ? held[0]! : Buffer.concat(held);
      held = [whole.subarray(length)];
      heldBytes -= length;
      return whole.subarray(0, length);
    },
    close: () => void socket.destroy(),
  };
}

export function nbdFailure(what: string, details?: ErrorDetails): FailedError {
  return new FailedError('IO_ERROR', `the NBD server of QEMU: ${what}`, details);
}
