/**
 * The command that a person called. The text of a remedy depends on it.
 */
import { Option } from 'commander';
import type { LoadedCommand } from './command.ts';
import type { CommandAtHand } from './remedy/words.ts';

/** Used until a command is known. */
export const NO_COMMAND: CommandAtHand = { name: undefined, has: () => false };

export function commandAtHand({ name, definition }: LoadedCommand): CommandAtHand {
  const names = new Set(
    definition.options.flatMap(({ flags }) => {
      const { short, long } = new Option(flags);
      return [short, long];
    }),
  );
  return { name, has: (option) => names.has(option) };
}
