/**
 * The sentences that say what to do next.
 */
import type { Remedy, SimpleRemedy } from '../../remedy.ts';
import { bitmapWords } from './bitmap-words.ts';
import { checkpointWords } from './checkpoint-words.ts';
import { fileWords } from './file-words.ts';
import { chainWords, imageWords } from './image-words.ts';
import { qemuWords } from './qemu-words.ts';
import type { CommandAtHand, Words } from './words.ts';

const WORDS: Words<SimpleRemedy> = {
  ...fileWords,
  ...imageWords,
  ...bitmapWords,
  ...chainWords,
  ...checkpointWords,
  ...qemuWords,
};

export function hintFor(remedy: Remedy, command: CommandAtHand): string {
  if (remedy.kind === 'steps') return remedy.steps.map((step) => hintFor(step, command)).join(' ');
  // WORDS has a function for each kind. TypeScript cannot match them to the remedy through an index.
  const say = WORDS[remedy.kind] as (remedy: SimpleRemedy, command: CommandAtHand) => string;
  return say(remedy, command);
}
