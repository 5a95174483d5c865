/**
 * What a command hands to the operation it runs: signals, warnings and progress, according to the options.
 */
import { InterruptedError } from '../errors.ts';
import type { OperationOptions } from '../operations/options.ts';
import { printable, printableJson } from '../text/printable.ts';
import type { CommonOptions } from './common-options.ts';
import { printError } from './output.ts';
import { openProgressLine } from './progress-line.ts';

/** The first comes when the terminal is closed, or its connection is lost. */
const SIGNALS = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;

/**
 * Runs one operation. A first signal ends it before its first write, or lets a change that has begun complete; a
 * second one kills the process, as if the power were cut.
 */
export async function invoke<T>(
  { json, quiet, progress, forceShare, lock }: CommonOptions,
  work: (options: OperationOptions) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  const handlers = SIGNALS.map((signal) => {
    const handler = () => {
      if (abort.signal.aborted) {
        process.off(signal, handler);
        process.kill(process.pid, signal);
        return;
      }
      const interruption = new InterruptedError(signal);
      abort.abort(interruption);
      process.exitCode = interruption.exitCode;
    };
    // Not once(): what the spinner puts on signals to show the cursor again ends the process when it is left alone.
    process.on(signal, handler);
    return () => process.off(signal, handler);
  });
  const line = progress && !quiet && !json ? openProgressLine() : undefined;
  try {
    if (forceShare && !quiet)
      warn('reading without regard to who else uses the images: the result may be stale');
    return await work({
      signal: abort.signal,
      onProgress: line?.show,
      // What a result is worth is not for --quiet to hide.
      onWarning: warn,
      forceShare,
      noLock: !lock,
    });
  } finally {
    line?.close();
    for (const remove of handlers) remove();
  }

  function warn(message: string): void {
    line?.clear();
    printError(
      json ? `${printableJson({ warning: { message } })}\n` : `bitmap-tool: warning: ${printable(message)}\n`,
    );
  }
}
