/**
 * Shows the progress of long work on a terminal. The line disappears when the work ends.
 */
import type { Ora } from 'ora';
import type { Progress } from '../image/progress.ts';
import { guardStderr } from './output.ts';
import { progressText } from './print/progress.ts';
import { terminalColumns } from './terminal.ts';

/** Shorter work shows nothing and does not load the spinner. */
const PATIENCE_MS = 400;

/** The spinner itself, a space, and the last column, in which some terminals wrap. */
const MARGIN = 3;

export interface ProgressLine {
  readonly show: (progress: Progress) => void;
  /** Removes the progress line so that a line of text can be printed. */
  readonly clear: () => void;
  readonly close: () => void;
}

/** Undefined if stderr is not a terminal or its width is unknown. */
export function openProgressLine(): ProgressLine | undefined {
  // Ora would loop forever with 0 columns.
  if (terminalColumns('stderr') === undefined) return undefined;
  guardStderr();
  const started = performance.now();
  let phase: string | undefined;
  let phaseStarted = started;
  let spinner: Ora | 'loading' | undefined;
  let closed = false;

  async function load(): Promise<void> {
    spinner = 'loading';
    const { ora } = await import('./spinner.ts');
    // By default, ora shows nothing if CI is set, even on a person's terminal.
    if (!closed) spinner = ora({ stream: process.stderr, isEnabled: true, discardStdin: false }).start();
  }

  return {
    show(progress) {
      const now = performance.now();
      if (progress.phase !== phase) {
        ({ phase } = progress);
        phaseStarted = now;
      }
      if (now - started < PATIENCE_MS) return;
      if (spinner === undefined) void load();
      else if (spinner !== 'loading')
        spinner.text = progressText(progress, now - phaseStarted, process.stderr.columns - MARGIN);
    },
    clear() {
      if (typeof spinner === 'object') spinner.clear();
    },
    close() {
      closed = true;
      if (typeof spinner === 'object') spinner.stop();
    },
  };
}
