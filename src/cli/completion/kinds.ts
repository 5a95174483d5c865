/**
 * What can stand in a place of the command line, by the name that the help gives it.
 */
import type { ArgumentNode, CommandNode, OptionNode } from '../command-tree.ts';

export type Kind =
  | { readonly kind: 'file' }
  /** Names of the bitmaps of an image; with #ALLOCATED where the help speaks of it. */
  | { readonly kind: 'bitmap'; readonly withAllocated: boolean }
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  | { readonly kind: 'free' };

const FILES = /^(image|base|file|file\.svg|folder|dir|arguments|xml|.*\|dir|path)$/;
const BITMAPS = /^(bitmap|target|source)$/;

export function argumentKind(argument: ArgumentNode, command: CommandNode): Kind {
  const { name, description, choices } = argument;
  return kindOf(name, choices, `${description} ${command.description}`);
}

/** undefined where the option takes no value */
export function optionKind({ names, valueName, choices, description }: OptionNode): Kind | undefined {
  if (valueName === undefined) return undefined;
  // It reads bitmaps, and create-from's help for it is the one of its source.
  if (names.includes('--bitmap')) return { kind: 'bitmap', withAllocated: true };
  return kindOf(valueName, choices, description);
}

function kindOf(name: string, choices: readonly string[], help: string): Kind {
  if (choices.length > 0) return { kind: 'choice', choices };
  const bare = name.replace(/\.\.\.$/, '');
  if (BITMAPS.test(bare)) return { kind: 'bitmap', withAllocated: help.includes('#ALLOCATED') };
  return FILES.test(bare) ? { kind: 'file' } : { kind: 'free' };
}
