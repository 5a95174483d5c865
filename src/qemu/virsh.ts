/**
 * libvirt through its command line, virsh. Every host with guests has virsh, and it works with every version
 * of the library.
 */
import { FailedError, UsageError } from '../errors.ts';
import { parseShellWords } from '../text/shell-word.ts';
import { parseQmpMessage, type Qmp, QmpError } from './qmp.ts';

export interface Virsh {
  /** How messages name the connection. */
  readonly name: string;
  /** Runs one command that must succeed, and returns what it printed. */
  run(command: string, ...args: string[]): Promise<string>;
  /** Runs one command, which may fail. */
  attempt(command: string, ...args: string[]): Promise<VirshAnswer>;
}

type VirshAnswer =
  | { readonly ok: true; readonly output: string }
  | { readonly ok: false; readonly message: string };

/**
 * @param connect libvirt's URI of a connection to this host; without it virsh chooses
 * @throws UsageError for a URI of another host, since its images are not on this host
 */
export function newVirsh(connect: string | undefined): Virsh {
  refuseOtherHost(connect);
  const connection = connect === undefined ? [] : ['--connect', connect];
  const name = connect === undefined ? 'libvirt' : `libvirt at ${connect}`;

  async function attempt(command: string, ...args: string[]): Promise<VirshAnswer> {
    const { execa } = await import('./execa.ts');
    const { code, failed, stdout, stderr } = await execa(
      'virsh',
      ['--quiet', ...connection, command, ...args],
      {
        reject: false,
        stdin: 'ignore',
        // A terminal sends Ctrl-C to all processes of a group. virsh must complete its command.
        detached: true,
        env: { LC_ALL: 'C' },
        maxBuffer: 256 * 2 ** 20,
      },
    );
    if (code === 'ENOENT') {
      throw new FailedError('FILE_NOT_FOUND', 'virsh, which finds guests by name, is not installed', {
        remedy: { kind: 'install-virsh' },
      });
    }
    if (!failed) return { ok: true, output: stdout };
    return { ok: false, message: messageOf(stderr) };
  }

  return {
    name,
    attempt,
    async run(command, ...args) {
      const answer = await attempt(command, ...args);
      if (answer.ok) return answer.output;
      throw new FailedError('LIBVIRT_ERROR', `${name}: virsh ${command}: ${answer.message}`, {
        context: { command },
      });
    },
  };
}

/**
 * A transport (qemu+ssh) or a host (//host/) names another machine. A transport over a Unix socket names this
 * one.
 */
function refuseOtherHost(connect: string | undefined): void {
  const [, transport, host] = /^[a-z]+(?:\+([a-z]+))?:\/\/([^/?]*)/.exec(connect ?? '') ?? [];
  if ((transport === undefined || transport === 'unix') && (host === undefined || host === '')) return;
  throw new UsageError(`${connect}: a connection to another host; the images of its guests are not here`, {
    remedy: { kind: 'run-on-host' },
  });
}

/** virsh prints a line "error: …" for each cause; the last line is the most precise. */
function messageOf(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.startsWith('error: '));
  return lines.map((line) => line.slice('error: '.length)).join(' ') || stderr.trim() || 'it failed';
}

/** QMP through libvirt, which continues to use the monitor at the same time. */
export function openVirshMonitor(virsh: Virsh, domain: string, processId?: number | undefined): Qmp {
  return {
    name: domain,
    // libvirt names all files by absolute paths.
    folder: undefined,
    processId,
    async execute<T>(command: string, args?: object): Promise<T> {
      const request = JSON.stringify({ execute: command, ...(args && { arguments: args }) });
      const output = await virsh.run('qemu-monitor-command', '--domain', domain, '--cmd', request);
      const answer = parseQmpMessage(output);
      if (answer?.error !== undefined) throw new QmpError(domain, command, answer.error);
      if (answer?.return === undefined) {
        throw new FailedError(
          'LIBVIRT_ERROR',
          `${domain}: ${command}: virsh answers "${output.slice(0, 100)}"`,
        );
      }
      return answer.return as T;
    },
    async currentCommandLine() {
      const answer = await virsh.attempt('domxml-to-native', 'qemu-argv', '--domain', domain);
      return answer.ok ? parseShellWords(answer.output) : [];
    },
    async close() {},
  };
}
