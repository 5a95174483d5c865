/**
 * Colour, by flag, by NO_COLOR (no-color.org) or FORCE_COLOR, or by what the stream is.
 */
import { Chalk, type ChalkInstance, supportsColor, supportsColorStderr } from 'chalk';

// Chalk itself reads --color, --no-color and FORCE_COLOR, but not NO_COLOR.
const silenced = (process.env['NO_COLOR'] ?? '') !== '' && !process.argv.includes('--color');

function level(support: typeof supportsColor): 0 | 1 | 2 | 3 {
  return silenced || support === false ? 0 : support.level;
}

export const color: ChalkInstance = new Chalk({ level: level(supportsColor) });
export const stderrColor: ChalkInstance = new Chalk({ level: level(supportsColorStderr) });
