/**
 * Connects signals, warnings and progress to the operation of a command, according to the options.
 */
import { InterruptedError } from '../errors.ts';
import type { OperationOptions } from '../operations/options.ts';
import type { OnWarning } from '../remedy.ts';
import { printable, printableJson } from '../text/printable.ts';
import type { CommonOptions } from './common-options.ts';
import { printError } from './output.ts';
import { openProgressLine } from './progress-line.ts';
import { hintFor } from './remedy/hint.ts';
import type { CommandAtHand } from './remedy/words.ts';

/** The kernel sends SIGHUP when the terminal closes or its connection drops. */
const SIGNALS = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;

/**
 * Runs one operation. The first signal stops it before its first write. If a change has begun, the change
 * completes. A second signal kills the process, with the same effect on images as a power cut.
 */
export type Invoke = <T>(
  options: CommonOptions,
  work: (options: OperationOptions) => Promise<T>,
) => Promise<T>;

export interface Invocation {
  readonly invoke: Invoke;
  /** The signal that arrived during an operation. */
  interruption(): InterruptedError | undefined;
}

export function openInvocation(command: CommandAtHand): Invocation {
  let interruption: InterruptedError | undefined;

  const invoke: Invoke = async ({ json, quiet, progress, forceShare, lock }, work) => {
    const abort = new AbortController();
    const handlers = SIGNALS.map((signal) => {
      const handler = () => {
        if (abort.signal.aborted) {
          process.off(signal, handler);
          process.kill(process.pid, signal);
          return;
        }
        interruption = new InterruptedError(signal);
        abort.abort(interruption);
      };
      // Not once(): the spinner has its own signal handler, which restores the cursor. That handler ends the
      // process if no other handler remains.
      process.on(signal, handler);
      return () => process.off(signal, handler);
    });
    const line = progress && !quiet && !json ? openProgressLine() : undefined;
    const warn: OnWarning = (message, remedy) => {
      line?.clear();
      const hint = remedy === undefined ? undefined : hintFor(remedy, command);
      printError(json ? warningDocument(message, hint) : warningLine(message, hint));
    };
    try {
      if (forceShare && !quiet)
        warn('reading images that other programs may change: the result may be stale');
      return await work({
        signal: abort.signal,
        onProgress: line?.show,
        // --quiet must not hide warnings, because they say how far the result can be trusted.
        onWarning: warn,
        forceShare,
        noLock: !lock,
      });
    } finally {
      line?.close();
      for (const remove of handlers) remove();
    }
  };

  return { invoke, interruption: () => interruption };
}

function warningDocument(message: string, hint: string | undefined): string {
  return `${printableJson({ warning: { message, ...(hint === undefined ? {} : { hint }) } })}\n`;
}

function warningLine(message: string, hint: string | undefined): string {
  return `bitmap-tool: warning: ${printable(hint === undefined ? message : `${message}. ${hint}`)}\n`;
}
