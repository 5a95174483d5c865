/**
 * bitmap-tool completion
 */
import type { CommandDefinition } from '../command.ts';
import type { Shell } from '../completion/shells.ts';
import { DONE } from '../errors.ts';
import { print } from '../output.ts';

export const completionCommand: CommandDefinition<[Shell], object> = {
  arguments: [
    {
      usage: '<shell>',
      description: 'bash, zsh or fish',
      completes: { kind: 'choice', choices: ['bash', 'zsh', 'fish'] },
    },
  ],
  options: [],
  examples: [
    'bitmap-tool completion bash > ~/.local/share/bash-completion/completions/bitmap-tool',
    'bitmap-tool completion zsh > ~/.zfunc/_bitmap-tool',
    'bitmap-tool completion fish > ~/.config/fish/completions/bitmap-tool.fish',
  ],
  async run([shell], _flags, { allCommands }) {
    // Loaded only here because other commands do not need them.
    const { commandTree } = await import('../command-tree.ts');
    const { completionFor } = await import('../completion/shells.ts');
    await print(completionFor(shell, commandTree(await allCommands())));
    return DONE;
  },
};
