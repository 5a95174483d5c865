/**
 * The progress of long work in one line.
 */
import { basename } from 'node:path';
import type { Progress } from '../../image/progress.ts';
import { letterWidth, shortened } from '../../text/shortened.ts';
import { formatSize } from '../../text/size.ts';

const NAME_LETTERS = 40;

/**
 * @param elapsedMs time since the phase began
 * @param letters available width in characters; the text is shorter if the width is smaller
 */
export function progressText(
  { phase, image, doneBytes, totalBytes }: Progress,
  elapsedMs: number,
  letters: number,
): string {
  const percent = `${totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 100)} %`;
  const rate = doneBytes / (elapsedMs / 1000);
  const speed =
    rate > 0 ? [`${formatSize(rate)}/s`, `${duration((totalBytes - doneBytes) / rate)} left`] : [];
  const amount = `${formatSize(doneBytes)} of ${formatSize(totalBytes)}`;
  const name = image === undefined ? phase : `${phase} ${shortened(basename(image), NAME_LETTERS)}`;
  const forms = [
    [`${name}: ${percent}`, amount, ...speed],
    [`${name}: ${percent}`, ...speed],
    [`${phase}: ${percent}`, ...speed],
    [percent, ...speed.slice(1)],
    [percent],
  ].map((parts) => parts.join(', '));
  return forms.find((form) => letterWidth(form) <= letters) ?? '';
}

/** For example "13 s", "2 min 5 s", "3 h 20 min". */
function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
