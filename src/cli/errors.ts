/**
 * The stderr output and the exit code of a failure.
 */
import { CommanderError } from 'commander';
import { BitmapToolError, UsageError } from '../errors.ts';
import { printable, printableJson } from '../text/printable.ts';
import { stderrColor } from './color.ts';
import { consentOption } from './remedy/checkpoint-words.ts';
import { hintFor } from './remedy/hint.ts';
import type { CommandAtHand } from './remedy/words.ts';
import { version } from './version.ts';

export const DONE = 0;

/** The command succeeded, but it found problems or left some. */
export const PROBLEMS = 3;

const FAILED = 1;
const WRONG_USAGE = 2;

/** A wrong command line. The error carries its own hint. */
export class CommandLineError extends UsageError {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** @param ofCommand the exit code of all errors except bugs, if the command has only one */
export function exitCodeOf(error: unknown, ofCommand?: number): number {
  if (error instanceof BitmapToolError) return ofCommand ?? error.exitCode;
  if (error instanceof CommanderError) return WRONG_USAGE;
  return FAILED;
}

/** The message in one line and the hint in another. With --json, one document. A bug includes its stack. */
export function errorReport(error: unknown, command: CommandAtHand, json: boolean): string {
  if (error instanceof CommanderError) {
    if (error.code === 'commander.help') return '';
    const { message, suggestion } = usageOf(error);
    if (json) return document('USAGE', message, { hint: suggestion });
    const help = 'See "bitmap-tool --help".';
    return lines(message, suggestion === undefined ? help : `${suggestion} ${help}`);
  }
  if (error instanceof BitmapToolError) {
    const { code, message, context, remedy } = error;
    const hint = hintOf(error, command);
    const consents = remedy?.kind === 'give-consent' ? remedy.consents.map(consentOption) : undefined;
    return json ? document(code, message, { hint, ...context, consents }) : lines(message, hint);
  }
  const { stack, message } = error instanceof Error ? error : new Error(String(error));
  const hint = `This is a bug in bitmap-tool ${version} (Node.js ${process.version}, ${process.platform} ${process.arch}). Please report it where you got the program, with the command, these lines and, for each image, the output of "bitmap-tool inspect IMAGE".`;
  return json ? document('BUG', message, { stack: stack ?? '', hint }) : `${stack}\n${hint}\n`;
}

/** commander puts a suggestion into a second line of the message, in parentheses. */
function usageOf({ message }: CommanderError): { message: string; suggestion: string | undefined } {
  const [, what, suggestion] = /^(?:error: )?(.*?)(?:\n\((Did you mean .*\?)\))?$/s.exec(message)!;
  return { message: what!, suggestion };
}

function hintOf(error: BitmapToolError, command: CommandAtHand): string | undefined {
  if (error instanceof CommandLineError) return error.hint;
  return error.remedy === undefined ? undefined : hintFor(error.remedy, command);
}

function document(code: string, message: string, more: object = {}): string {
  return `${printableJson({ error: { code, message, ...more } })}\n`;
}

function lines(message: string, hint: string | undefined): string {
  const first = `${stderrColor.red('bitmap-tool:')} ${printable(message)}\n`;
  return hint === undefined ? first : `${first}${printable(hint)}\n`;
}
