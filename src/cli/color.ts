/**
 * Colour. A flag, NO_COLOR (no-color.org), FORCE_COLOR or the type of the stream decides whether it is used.
 */
import type { ColorSupportLevel, supportsColor } from 'chalk';
import { isTerminal } from './terminal.ts';

type Paint = Readonly<Record<'red' | 'yellow' | 'green', (text: string) => string>>;

const unpainted = (text: string) => text;
const PLAIN: Paint = { red: unpainted, yellow: unpainted, green: unpainted };

export let color = PLAIN;
export let stderrColor = PLAIN;

/** Loads chalk only if colour may be used. Loading takes time, and scripts do not need it. */
export async function loadColors(): Promise<void> {
  const asked =
    process.env['FORCE_COLOR'] !== undefined || process.argv.some((arg) => arg.startsWith('--color'));
  if (!asked && !isTerminal('stdout') && !isTerminal('stderr')) return;
  const { Chalk, supportsColor, supportsColorStderr } = await import('chalk');
  color = new Chalk({ level: level(supportsColor) });
  stderrColor = new Chalk({ level: level(supportsColorStderr) });
}

/** Chalk itself reads --color, --no-color and FORCE_COLOR, but not NO_COLOR. */
function level(support: typeof supportsColor): ColorSupportLevel {
  const silenced = (process.env['NO_COLOR'] ?? '') !== '' && !process.argv.includes('--color');
  return silenced || support === false ? 0 : support.level;
}
