/**
 * The command that a person called. The text of a remedy depends on it.
 */
import { Option } from 'commander';
import { shellWord } from '../text/shell-word.ts';
import type { LoadedCommand } from './command.ts';
import type { CommandAtHand } from './remedy/words.ts';

/** Used until a command is known. */
export const NO_COMMAND: CommandAtHand = { name: undefined, has: () => false, words: () => [], images: [] };

/** @param args the values of the arguments, and `flags` those of the options, as commander gives them */
export function commandAtHand(
  { name, definition }: LoadedCommand,
  args: readonly unknown[] = [],
  flags: object = {},
): CommandAtHand {
  const options = new Map<string, Option>();
  for (const { flags: names } of definition.options) {
    const option = new Option(names);
    for (const each of [option.short, option.long]) if (each !== undefined) options.set(each, option);
  }
  const values = new Map(Object.entries(flags));
  // Only the commands for whole disks take several images.
  const images = definition.arguments.findIndex(({ usage }) => /^.image\.\.\./.test(usage));
  return {
    name,
    has: (option) => options.has(option),
    words: (...chosen) =>
      chosen.flatMap((each) => {
        const option = options.get(each);
        return option === undefined ? [] : wordsOf(option, values.get(option.attributeName()));
      }),
    images: ((args[images] ?? []) as readonly string[]).map(argumentWord),
  };
}

function wordsOf(option: Option, value: unknown): string[] {
  if (!option.required && !option.optional) return value === !option.negate ? [option.long!] : [];
  const values = value === undefined ? [] : [value].flat();
  return values.flatMap((each) => [option.long!, shellWord(String(each))]);
}

/** A name as the person gave it, which is not always a path. */
function argumentWord(name: string): string {
  return shellWord(name.startsWith('-') ? `./${name}` : name);
}
