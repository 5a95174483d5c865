/**
 * Bytes that break a rule of the qcow2 specification or a limit of QEMU. Knows no file name: whoever read the
 * bytes adds it.
 */
import type { RefusalCode } from '../errors.ts';

export class FormatError extends Error {
  readonly code: RefusalCode;
  readonly hint: string | undefined;

  constructor(message: string, { code = 'INVALID_IMAGE', hint }: { code?: RefusalCode; hint?: string } = {}) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
