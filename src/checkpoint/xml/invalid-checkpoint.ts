/**
 * The error for invalid XML of a checkpoint, before the name of its file is added.
 */
import { FormatError } from '../../format/format-error.ts';
import type { Remedy } from '../../remedy.ts';

export function invalid(what: string, remedy: Remedy = { kind: 'save-checkpoint-again' }): FormatError {
  return new FormatError(what, { code: 'INVALID_CHECKPOINT', remedy: () => remedy });
}
