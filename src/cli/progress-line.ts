/**
 * Progress of long work on a terminal, gone when the work is done.
 */
import type { Ora } from 'ora';
import type { Progress } from '../image/table-progress.ts';
import { guardStderr } from './output.ts';
import { progressText } from './print/progress.ts';
import { terminalColumns } from './terminal.ts';

/** Work shorter than this shows nothing, and never loads the spinner. */
const PATIENCE_MS = 400;

/** The spinner itself, a space, and the last column, in which some terminals wrap. */
const MARGIN = 3;

export interface ProgressLine {
  readonly show: (progress: Progress) => void;
  /** Makes way for a line of text. */
  readonly clear: () => void;
  readonly close: () => void;
}

/** undefined if stderr is not a terminal. */
export function openProgressLine(): ProgressLine | undefined {
  // With 0 columns, ora would loop forever.
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
    // Left to itself it would be silent wherever CI is set, be it in a person's terminal.
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
