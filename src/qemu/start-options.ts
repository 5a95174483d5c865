/**
 * The options that block nodes were given when QEMU started. QEMU does not tell them, and `blockdev-reopen` resets what is not
 * named again.
 */
import { readFile } from 'node:fs/promises';

export type BlockdevOptions = Readonly<Record<string, unknown>>;

/** Of every node that the command line has with `-blockdev`, by its name. */
export async function readStartOptions(pid: number | undefined): Promise<Map<string, BlockdevOptions>> {
  const options = new Map<string, BlockdevOptions>();
  if (pid === undefined) return options;
  const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  for (const [index, arg] of args.entries()) {
    if (arg !== '-blockdev' && arg !== '--blockdev') continue;
    const parsed = parseOptions(args[index + 1] ?? '');
    const name = parsed?.['node-name'];
    if (parsed !== undefined && typeof name === 'string') options.set(name, parsed);
  }
  return options;
}

/** JSON, as libvirt has it, or `key=value,…`; undefined for what is nested there, since its types are not known. */
function parseOptions(text: string): BlockdevOptions | undefined {
  if (text.startsWith('{')) {
    try {
      return JSON.parse(text) as BlockdevOptions;
    } catch {
      return undefined;
    }
  }
  const options: Record<string, unknown> = {};
  // A comma within a value is doubled.
  for (const pair of text.split(/(?<!,),(?!,)/)) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(pair) ?? [];
    if (key === undefined || key.includes('.')) return undefined;
    options[key] = value === 'on' ? true : value === 'off' ? false : value!.replaceAll(',,', ',');
  }
  return options;
}
