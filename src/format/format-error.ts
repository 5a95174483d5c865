/**
 * The error for bytes that break a rule of the qcow2 specification or a limit of QEMU. The message has no
 * file name: the reader of the bytes adds it.
 */
import type { RefusalCode } from '../errors.ts';
import type { Remedy } from '../remedy.ts';

export class FormatError extends Error {
  readonly code: RefusalCode;
  /** The remedy, for the file that holds the bytes. */
  readonly remedy: ((file: string) => Remedy) | undefined;

  constructor(
    message: string,
    { code = 'INVALID_IMAGE', remedy }: { code?: RefusalCode; remedy?: (file: string) => Remedy } = {},
  ) {
    super(message);
    this.code = code;
    this.remedy = remedy;
  }
}

export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
