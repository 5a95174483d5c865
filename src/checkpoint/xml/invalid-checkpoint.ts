/**
 * What is wrong with the XML of a checkpoint, before the name of its file is put to it.
 */
import { FormatError } from '../../format/format-error.ts';

export function invalid(what: string, hint?: string): FormatError {
  return new FormatError(what, {
    code: 'INVALID_CHECKPOINT',
    hint: hint ?? 'Save it anew: virsh checkpoint-dumpxml DOMAIN CHECKPOINT',
  });
}
