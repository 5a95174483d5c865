/**
 * Progress of long work on a terminal, gone when the work is done.
 */
import type { Ora } from 'ora';
import type { Progress } from '../operations/options.ts';
import { formatSize } from '../text/size.ts';

/** Work shorter than this shows nothing, and never loads the spinner. */
const PATIENCE_MS = 400;

export interface ProgressLine {
  readonly show: (progress: Progress) => void;
  /** Makes way for a line of text. */
  readonly clear: () => void;
  readonly close: () => void;
}

/** undefined where stderr is no terminal. */
export function openProgressLine(): ProgressLine | undefined {
  const { isTTY, columns } = process.stderr;
  // A terminal of 0 columns would keep the spinner busy for ever.
  if (!isTTY || !(columns > 0)) return undefined;
  const started = performance.now();
  let spinner: Ora | 'loading' | undefined;
  let closed = false;

  async function load(): Promise<void> {
    spinner = 'loading';
    const { default: ora } = await import('ora');
    if (!closed) spinner = ora({ stream: process.stderr, discardStdin: false }).start();
  }

  return {
    show(progress) {
      const elapsedMs = performance.now() - started;
      if (elapsedMs < PATIENCE_MS) return;
      if (spinner === undefined) void load();
      else if (spinner !== 'loading') spinner.text = describe(progress, elapsedMs);
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

function describe({ phase, doneBytes, totalBytes }: Progress, elapsedMs: number): string {
  const share = totalBytes === 0 ? 1 : doneBytes / totalBytes;
  const rate = doneBytes / (elapsedMs / 1000);
  const secondsLeft = rate > 0 ? Math.ceil((totalBytes - doneBytes) / rate) : 0;
  const percent = `${Math.floor(share * 100)} %`.padStart(5);
  return `${phase} ${percent}, ${formatSize(doneBytes)} of ${formatSize(totalBytes)}, ${formatSize(rate)}/s, ${secondsLeft} s left`;
}
