/**
 * bitmap-tool completion
 */
import { Argument, Command } from 'commander';
import type { Shell } from '../completion/shells.ts';
import { print } from '../output.ts';

export function completionCommand(): Command {
  return new Command('completion')
    .description('print what makes a shell complete commands, options, files and names of bitmaps')
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `
Examples:
  bitmap-tool completion bash > ~/.local/share/bash-completion/completions/bitmap-tool
  bitmap-tool completion zsh > ~/.zfunc/_bitmap-tool
  bitmap-tool completion fish > ~/.config/fish/completions/bitmap-tool.fish`,
    )
    .action(async (shell: Shell, _options: object, command: Command) => {
      // Loaded only here: no other command needs it.
      const { commandTree } = await import('../command-tree.ts');
      const { completionFor } = await import('../completion/shells.ts');
      await print(completionFor(shell, commandTree(command.parent!)));
    });
}
