/**
 * The options of block nodes on a command line of QEMU.
 */

export type BlockdevOptions = Readonly<Record<string, unknown>>;

/** The options of each node that `-blockdev` makes, by node name. */
export function blockdevOptions(args: readonly string[]): Map<string, BlockdevOptions> {
  const options = new Map<string, BlockdevOptions>();
  for (const [index, arg] of args.entries()) {
    if (arg !== '-blockdev' && arg !== '--blockdev') continue;
    const parsed = parseOptions(args[index + 1] ?? '');
    const name = parsed?.['node-name'];
    if (parsed !== undefined && typeof name === 'string') options.set(name, parsed);
  }
  return options;
}

/**
 * Parses JSON, as libvirt writes it, or `key=value,…`. Returns undefined if a key of the latter is nested,
 * since the types are not known.
 */
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
