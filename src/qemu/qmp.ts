/**
 * QEMU's monitor protocol (QMP), as far as this tool needs it: one command, one answer.
 */
import { BitmapToolError, RefusedError } from '../errors.ts';

export interface Qmp {
  /** How messages name this QEMU: the socket, or the guest. */
  readonly name: string;
  /** The folder at which relative paths of this QEMU start; undefined if it is unknown. */
  readonly folder: string | undefined;
  /** The process ID; undefined if it is unknown. */
  readonly processId: number | undefined;
  /** The command line with which a manager of guests would start this QEMU as it is now, if there is one. */
  readonly currentCommandLine?: () => Promise<readonly string[]>;
  /**
   * Runs one command to its end.
   *
   * @throws QmpError when QEMU refuses it
   * @throws FailedError when the connection to QEMU has ended
   */
  execute<T>(command: string, args?: object): Promise<T>;
  close(): Promise<void>;
}

/** QEMU's answer to a command that it did not carry out. */
export class QmpError extends BitmapToolError<'QEMU_ERROR'> {
  readonly exitCode = 1;
  readonly command: string;
  /** `CommandNotFound`, `GenericError`, … (QEMU's QapiErrorClass). */
  readonly errorClass: string;
  /** QEMU's message. */
  readonly description: string;

  constructor(name: string, command: string, { class: errorClass, desc }: QmpFailure) {
    super('QEMU_ERROR', `${name}: QEMU refuses ${command}: ${desc}`, { context: { command, errorClass } });
    this.command = command;
    this.errorClass = errorClass;
    this.description = desc;
  }
}

export interface QmpFailure {
  readonly class: string;
  readonly desc: string;
}

/** One line of QMP: an answer, or an event, which is ignored. */
export interface QmpMessage {
  readonly id?: unknown;
  readonly return?: unknown;
  readonly error?: QmpFailure;
  readonly event?: string;
  readonly QMP?: unknown;
}

/** @returns undefined if the line is not a QMP message */
export function parseQmpMessage(text: string): QmpMessage | undefined {
  try {
    const message: unknown = JSON.parse(text);
    return typeof message === 'object' && message !== null ? message : undefined;
  } catch {
    return undefined;
  }
}

/** Runs a command that an older QEMU does not know. Then refuses with the version that knows it. */
export async function executeOrRefuse<T>(
  qmp: Qmp,
  command: string,
  args: object | undefined,
  since: string,
): Promise<T> {
  try {
    return await qmp.execute<T>(command, args);
  } catch (error) {
    if (!(error instanceof QmpError) || error.errorClass !== 'CommandNotFound') throw error;
    throw new RefusedError('UNSUPPORTED', `${qmp.name}: this QEMU does not know ${command}`, {
      remedy: { kind: 'upgrade-qemu', since },
      cause: error,
    });
  }
}
