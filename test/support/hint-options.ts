/** Finds options in a hint that its command does not have. */
import { commandAtHand } from '../../src/cli/command-at-hand.ts';
import { COMMANDS, loadCommand } from '../../src/cli/command-table.ts';

/** A call of a program: in double quotes, or behind a colon up to the end. */
const CALL =
  /"((?:bitmap-tool|qemu-img|nbdinfo|virsh|lvextend|npm|printf|ulimit|qemu-system-x86_64) [^"]*)"|: ((?:bitmap-tool|qemu-img|virsh) .*)$/g;
const OPTION = /(?<=^|[\s(])--?[a-zA-Z][\w-]*/g;

/** The options in the text that its command lacks, and those in calls of bitmap-tool that the called command lacks. */
export async function strangeOptions(hint: string, command: string): Promise<string[]> {
  const calls = Array.from(hint.matchAll(CALL), ([, quoted, last]) => (quoted ?? last)!.split(' '));
  const places = [
    { name: command, text: hint.replace(CALL, '') },
    ...calls
      .filter(([program, name]) => program === 'bitmap-tool' && name !== '--help')
      .map(([, name, ...words]) => ({ name: name!, text: words.join(' ') })),
  ];
  const strange: string[] = [];
  for (const { name, text } of places) {
    const entry = COMMANDS.find((each) => each.name === name);
    if (entry === undefined) {
      strange.push(`bitmap-tool ${name}`);
      continue;
    }
    const { has } = commandAtHand(await loadCommand(entry));
    strange.push(...(text.match(OPTION) ?? []).filter((option) => option !== '--help' && !has(option)));
  }
  return strange;
}
