/**
 * What a failure looks like on stderr, and which exit code it has.
 */
import { CommanderError } from 'commander';
import { BitmapToolError } from '../errors.ts';
import { printable, printableJson } from '../text/printable.ts';
import { stderrColor } from './color.ts';

const USAGE_EXIT_CODE = 2;

/** The command did what it was asked to do, and something is not in order: found, or left so. */
export const PROBLEMS_EXIT_CODE = 3;

export function exitCodeOf(error: unknown): number {
  if (error instanceof BitmapToolError) return error.exitCode;
  // --help and --version end a run this way too, with 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
  return 1;
}

/** One line, and one of what to do next; with --json one document. A bug keeps its stack. */
export function errorReport(error: unknown, json: boolean): string {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0 || error.code === 'commander.help') return '';
    const message = error.message.replace(/^error: /, '');
    return json ? document('USAGE', message) : lines(message, 'See bitmap-tool --help.');
  }
  if (error instanceof BitmapToolError) {
    const { code, message, hint, context } = error;
    return json
      ? document(code, message, { ...(hint === undefined ? {} : { hint }), ...context })
      : lines(message, hint);
  }
  const { stack, message } = error instanceof Error ? error : new Error(String(error));
  const report = 'This is a bug in bitmap-tool; please report it with the lines above.';
  return json ? document('BUG', message, { stack: stack ?? '' }) : `${stack}\n${report}\n`;
}

function document(code: string, message: string, more: object = {}): string {
  return `${printableJson({ error: { code, message, ...more } })}\n`;
}

function lines(message: string, hint: string | undefined): string {
  const first = `${stderrColor.red('bitmap-tool:')} ${printable(message)}\n`;
  return hint === undefined ? first : `${first}${printable(hint)}\n`;
}
