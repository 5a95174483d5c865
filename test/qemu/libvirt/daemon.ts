/** A libvirt daemon in the foreground with a separate configuration, so that programs can find guests by name. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { howToInstall } from '../../support/external-program.ts';
import { type Answer, killByPidFile, type Virsh } from './virsh.ts';

export interface LibvirtDaemon extends Virsh {
  /** What `--connect` takes. */
  readonly uri: string;
}

/** For qemu.conf: without what needs an installed libvirt. */
const CONFIGURATION = `
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
`;

/** @param root a separate folder, which may be missing; its path must be short because of its sockets */
export async function startLibvirtDaemon(root: string): Promise<LibvirtDaemon> {
  const [run, config, cache] = ['run', 'config', 'cache'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [run, join(config, 'libvirt'), cache]) await mkdir(folder, { recursive: true });
  await writeFile(join(config, 'libvirt', 'qemu.conf'), CONFIGURATION);
  const settings = join(config, 'libvirt', 'libvirtd.conf');
  await writeFile(settings, 'auth_unix_rw = "none"\n');
  // To root it would be the daemon of the host; under the number of another account it is that of a session.
  const asUser =
    process.getuid?.() === 0 ? ['unshare', '--user', '--map-user=65534', '--map-group=65534'] : [];
  const daemon = execa('env', [...asUser, 'libvirtd', '-f', settings], {
    reject: false,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: { file: join(root, 'libvirtd.log') },
    env: {
      PATH: `${process.env['PATH']}:/usr/sbin`,
      HOME: root,
      XDG_RUNTIME_DIR: run,
      XDG_CONFIG_HOME: config,
      XDG_CACHE_HOME: cache,
      LIBVIRT_LOG_OUTPUTS: '3:stderr',
    },
    extendEnv: false,
  });
  let isRunning = true;
  const ended = daemon.then(() => {
    isRunning = false;
  });
  const uri = `qemu:///session?socket=${join(run, 'libvirt', 'libvirt-sock')}`;

  async function attempt(...words: string[]): Promise<Answer> {
    const { code, failed, stdout, stderr } = await execa('virsh', ['--quiet', '--connect', uri, ...words], {
      reject: false,
      stdin: 'ignore',
      env: { LC_ALL: 'C' },
    });
    if (code === 'ENOENT') throw new Error(howToInstall('virsh'));
    return { ok: !failed, output: `${stdout}\n${stderr}`.trim() };
  }

  const close = async () => {
    daemon.kill('SIGTERM');
    await ended;
    const folder = join(run, 'libvirt', 'qemu', 'run');
    for (const file of await readdir(folder).catch(() => [])) {
      if (file.endsWith('.pid') && file !== 'driver.pid') await killByPidFile(join(folder, file));
    }
    await rm(root, { recursive: true, force: true });
  };
  while (!(await attempt('uri')).ok) {
    if (!isRunning) {
      await close();
      throw new Error('libvirtd did not start: apt-get install libvirt-daemon');
    }
    await sleep(50);
  }
  return {
    root,
    uri,
    pidFile: (name) => join(run, 'libvirt', 'qemu', 'run', `${name}.pid`),
    attempt,
    async run(...words) {
      const { ok, output } = await attempt(...words);
      if (!ok) throw new Error(`virsh ${words.join(' ')}:\n${output}`);
      return output;
    },
    close,
  };
}
