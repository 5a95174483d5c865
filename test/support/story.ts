/** Runs and records the commands that build an image, so that a failing test can show them. */
import { type ExternalProgram, runProgram } from './external-program.ts';

export class Story {
  readonly #lines: string[] = [];

  /** Runs a program in a folder; it must succeed. */
  async run(folder: string, program: ExternalProgram, args: readonly string[]): Promise<string> {
    this.tell(folder, [program, ...args]);
    return await runProgram(program, args, { cwd: folder });
  }

  /** Remembers a command that was run by other means. */
  tell(folder: string, command: readonly string[]): void {
    this.#lines.push(`(cd ${folder} && ${command.map(quoted).join(' ')})`);
  }

  /** Runs a test's body; if it fails, the error ends with the commands that led there. */
  async toldOnFailure(body: () => Promise<void>): Promise<void> {
    try {
      await body();
    } catch (error) {
      if (error instanceof Error) {
        error.message += `\n\nThe images were built by:\n${this.#lines.join('\n')}`;
      }
      throw error;
    }
  }
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
