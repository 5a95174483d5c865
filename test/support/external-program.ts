/** Runs a program of the host. If it is missing, the error names the package that provides it. */
import { execa } from 'execa';

const packageOf = {
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-storage-daemon': 'qemu-system-common',
  nbdinfo: 'libnbd-bin',
  virsh: 'libvirt-clients',
} as const;

export type ExternalProgram = keyof typeof packageOf;

export interface ProgramResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** The message for a missing program. A missing judge is a failure and never skips a test. */
export function howToInstall(program: ExternalProgram): string {
  return `${program} is not installed: apt-get install ${packageOf[program]}`;
}

/** Runs to the end and returns the exit code, whatever it is; a signal is an error, naming it. */
export async function tryProgram(
  program: ExternalProgram,
  args: readonly string[],
  options: { cwd?: string } = {},
): Promise<ProgramResult> {
  const result = await execa(program, args, { reject: false, stdin: 'ignore', ...options });
  if (result.code === 'ENOENT') throw new Error(howToInstall(program));
  if (result.exitCode === undefined) {
    throw new Error(`${program} ${args.join(' ')}: ended by ${result.signal ?? result.message}`);
  }
  return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
}

/** As {@link tryProgram}, but any exit code other than 0 is an error that shows the command and its output. */
export async function runProgram(
  program: ExternalProgram,
  args: readonly string[],
  options: { cwd?: string } = {},
): Promise<string> {
  const { exitCode, stdout, stderr } = await tryProgram(program, args, options);
  if (exitCode !== 0) {
    throw new Error(`${program} ${args.join(' ')}: exit code ${exitCode}\n${stdout}\n${stderr}`);
  }
  return stdout;
}
