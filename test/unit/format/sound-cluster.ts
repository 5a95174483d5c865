import { FormatError } from '../../../src/format/format-error.ts';
import { type Cluster, decodeL2Entry } from '../../../src/format/l2-entry.ts';

/** What the decoder makes of an entry, undefined if it refuses it. */
export function soundCluster(...args: Parameters<typeof decodeL2Entry>): Cluster | undefined {
  const { stackTraceLimit } = Error;
  // To collect a stack takes longer than to decode.
  Error.stackTraceLimit = 0;
  try {
    return decodeL2Entry(...args);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
