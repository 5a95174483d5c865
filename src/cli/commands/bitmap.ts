/**
 * bitmap-tool bitmap. It has the arguments, effects and exit status of `qemu-img bitmap`, for scripts that
 * call it.
 */
import { type ImageReference, parseReference } from '../../chain/reference.ts';
import { applyBitmapActions, type BitmapAction } from '../../operations/bitmaps/bitmap-actions.ts';
import { parseQemuSize, QemuSizeError } from '../../text/qemu-size.ts';
import type { CommandDefinition, Surroundings } from '../command.ts';
import { CommandLineError, DONE } from '../errors.ts';
import { GetoptError, getopt, type LongOption } from '../getopt.ts';
import {
  type Completes,
  FILE,
  FREE,
  type OptionDefinition,
  READABLE_BITMAP,
  STORED_BITMAP,
} from '../option.ts';

const ACTIONS = ['add', 'remove', 'remove-all', 'clear', 'enable', 'disable'] as const;

type BitmapOption = LongOption & OptionDefinition;

/** The options of QEMU 11.1. They include all options of 7.2. */
const OPTIONS: readonly BitmapOption[] = [
  flag('add', 'add the bitmap, with nothing marked'),
  flag('remove', 'remove the bitmap'),
  flag('remove-all', 'remove every bitmap of the image, without a name'),
  flag('clear', 'clear its marks'),
  flag('enable', 'let it record writes'),
  flag('disable', 'stop it from recording writes'),
  valued(
    'merge',
    '<source>',
    'add the marks of a bitmap; #ALLOCATED stands for what the image itself holds',
    READABLE_BITMAP,
  ),
  valued('granularity', '<size>', 'with --add: bytes that one bit stands for', FREE, 'g'),
  valued('source-file', '<image>', 'with --merge: the image that has the sources', FILE, 'b'),
  valued('source-format', '<format>', 'the format of that image', FREE, 'F'),
  valued('format', '<format>', 'the format of the image', FREE, 'f'),
  flag('image-opts', 'the image is named as driver=qcow2,file.filename=...'),
  valued('object', '<definition>', 'accepted and ignored', FREE),
  flag('help', 'display help for command', 'h'),
];

function flag(name: string, description: string, short?: string): BitmapOption {
  const flags = short === undefined ? `--${name}` : `-${short}, --${name}`;
  return { name, takesValue: false, ...(short === undefined ? {} : { short }), flags, description };
}

function valued(
  name: string,
  value: string,
  description: string,
  completes: Completes,
  short?: string,
): BitmapOption {
  const option = flag(name, description, short);
  return { ...option, takesValue: true, flags: `${option.flags} ${value}`, completes };
}

export const bitmapCommand: CommandDefinition<string[], object> = {
  description:
    'the arguments of qemu-img bitmap, as a drop-in: options and operands in any order, actions in the given order, exit status 0 or 1',
  usage:
    '(--add | --remove | --remove-all | --clear | --enable | --disable | --merge <source>)... [options] <image> [bitmap]',
  arguments: [
    { usage: '[image]', description: 'qcow2 image', completes: FILE },
    {
      usage: '[bitmap]',
      description: 'name of the bitmap that is added or changed',
      completes: STORED_BITMAP,
    },
  ],
  options: OPTIONS,
  examples: [
    "bitmap-tool bitmap --add --merge '#ALLOCATED' disk.qcow2 checkpoint-1",
    'bitmap-tool bitmap --merge checkpoint-2 -b overlay.qcow2 -F qcow2 disk.qcow2 checkpoint-1',
  ],
  // The arguments follow the rules of getopt(3). qemu-img exits with 1 for every error.
  rawArguments: { errorExitCode: 1 },
  async run(args, _flags, surroundings) {
    try {
      await runActions(args, surroundings);
    } catch (error) {
      if (error instanceof GetoptError || error instanceof QemuSizeError)
        throw new CommandLineError(error.message);
      throw error;
    }
    return DONE;
  },
};

async function runActions(args: readonly string[], { invoke, showHelp }: Surroundings): Promise<void> {
  const { options, operands } = getopt(args, OPTIONS);
  const last = (name: string) => options.findLast((option) => option.name === name);
  if (last('help') !== undefined) return showHelp();

  const actions = options.flatMap(({ name, value }): BitmapAction[] => {
    if (name === 'merge') return [{ kind: 'merge', source: value! }];
    const kind = ACTIONS.find((action) => action === name);
    return kind === undefined ? [] : [{ kind }];
  });
  const granularity = last('granularity')?.value;
  const sourceFile = last('source-file')?.value;
  const sourceFormat = last('source-format')?.value;
  const has = (kind: BitmapAction['kind']) => actions.some((action) => action.kind === kind);
  if (actions.length === 0) {
    throw new GetoptError(
      'Need at least one of --add, --remove, --remove-all, --clear, --enable, --disable, or --merge',
    );
  }
  const grain = granularity === undefined ? undefined : parseQemuSize(granularity, 'granularity');
  if (grain && !has('add')) throw new GetoptError('granularity only supported with --add');
  if (sourceFormat !== undefined && sourceFile === undefined)
    throw new GetoptError('-F only supported with -b');
  if (sourceFile !== undefined && !has('merge')) {
    throw new GetoptError('Merge bitmap source file only supported with --merge');
  }
  const [filename, bitmap] = operands;
  const needsName = actions.some(({ kind }) => kind !== 'remove-all');
  if (filename === undefined || (needsName && bitmap === undefined) || operands.length > 2) {
    throw new GetoptError(needsName ? 'Expecting filename and bitmap name' : 'Expecting filename');
  }
  const image =
    last('image-opts') === undefined
      ? parseReference(filename, last('format')?.value)
      : parseImageOpts(filename, last('format')?.value);
  await invoke({ quiet: true, progress: false, lock: true }, (common) =>
    applyBitmapActions(image, bitmap, actions, {
      ...common,
      // qemu-img treats 0 as "not given".
      granularity: grain === 0 ? undefined : grain,
      sourceImage: sourceFile === undefined ? undefined : parseReference(sourceFile, sourceFormat),
    }),
  );
}

/** Parses `driver=qcow2,file.filename=x`. A comma in a value is doubled. */
function parseImageOpts(text: string, format: string | undefined): ImageReference {
  if (format !== undefined) throw new GetoptError('--image-opts and --format are mutually exclusive');
  const pairs = text.split(/(?<!,)(?:,,)*,(?!,)/).map((pair) => pair.replaceAll(',,', ','));
  const options = pairs.map((pair) => {
    const at = pair.indexOf('=');
    return at < 0 ? [pair, 'on'] : [pair.slice(0, at), pair.slice(at + 1)];
  });
  return parseReference(`json:${JSON.stringify(Object.fromEntries(options))}`, undefined);
}
