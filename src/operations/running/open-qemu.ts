/**
 * A connection to a running QEMU.
 */
import type { Qmp } from '../../qemu/qmp.ts';
import { openQmpSocket } from '../../qemu/qmp-socket.ts';
import type { SessionPlace } from '../../qemu/session.ts';

export interface RunningQemu {
  /** How messages name it. */
  readonly name: string;
  readonly qmp: Qmp;
  /** The place for files that QEMU reads. */
  readonly place: SessionPlace;
  close(): Promise<void>;
}

export interface QemuAddress {
  /** Path of a QMP socket, of QEMU or of a qemu-storage-daemon (`-qmp unix:PATH,server=on,wait=off`). */
  readonly qmp: string;
}

/**
 * Connects to a running QEMU, 6.1 or newer.
 *
 * @throws FailedError when no QEMU answers there
 * @throws InUseError when its monitor serves another client
 */
export async function openQemu({ qmp: socket }: QemuAddress): Promise<RunningQemu> {
  const qmp = await openQmpSocket(socket);
  return { name: socket, qmp, place: { ownedByQemu: socket }, close: () => qmp.close() };
}
