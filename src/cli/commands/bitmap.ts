/**
 * bitmap-tool bitmap: the arguments, effects and exit status of `qemu-img bitmap`, for scripts that call it.
 */
import { Command, Option } from 'commander';
import { type ImageReference, parseReference } from '../../chain/reference.ts';
import { BitmapToolError } from '../../errors.ts';
import { applyBitmapActions, type BitmapAction } from '../../operations/bitmaps/bitmap-actions.ts';
import { printable } from '../../text/printable.ts';
import { parseQemuSize, QemuSizeError } from '../../text/qemu-size.ts';
import { GetoptError, getopt, type LongOption } from '../getopt.ts';
import { invoke } from '../invocation.ts';
import { printError } from '../output.ts';

const ACTIONS = ['add', 'remove', 'clear', 'enable', 'disable'] as const;

interface BitmapOption extends LongOption {
  /** As help, completion and the man page say it. */
  readonly flags: string;
  readonly description: string;
}

/** Those of QEMU 7.2, and --force-share, which later tools pass. */
const OPTIONS: readonly BitmapOption[] = [
  flag('add', 'add the bitmap, with nothing marked'),
  flag('remove', 'remove the bitmap'),
  flag('clear', 'clear its marks'),
  flag('enable', 'let it record writes'),
  flag('disable', 'let it no longer record writes'),
  valued('merge', '<source>', 'add the marks of a bitmap; #ALLOCATED stands for what the image itself holds'),
  valued('granularity', '<size>', 'with --add: bytes that one bit stands for', 'g'),
  valued('source-file', '<image>', 'with --merge: the image that has the sources', 'b'),
  valued('source-format', '<format>', 'the format of that image', 'F'),
  // qemu-img has the letter only.
  { name: 'f', takesValue: true, short: 'f', flags: '-f <format>', description: 'the format of the image' },
  flag('image-opts', 'the image is named as driver=qcow2,file.filename=...'),
  valued('object', '<definition>', 'taken, and not needed'),
  flag('force-share', 'taken, and without effect: an image that is in use cannot be written', 'U'),
  flag('help', 'display help for command', 'h'),
];

function flag(name: string, description: string, short?: string): BitmapOption {
  const flags = short === undefined ? `--${name}` : `-${short}, --${name}`;
  return { name, takesValue: false, ...(short === undefined ? {} : { short }), flags, description };
}

function valued(name: string, value: string, description: string, short?: string): BitmapOption {
  const option = flag(name, description, short);
  return { ...option, takesValue: true, flags: `${option.flags} ${value}` };
}

export function bitmapCommand(): Command {
  const options = OPTIONS.map(({ flags, description }) => new Option(flags, description));
  return (
    new Command('bitmap')
      .summary('the arguments of qemu-img bitmap, as a drop-in')
      .description(
        'the arguments of qemu-img bitmap, as a drop-in: options and operands in any order, actions done in theirs, exit status 0 or 1',
      )
      .usage(
        '(--add | --remove | --clear | --enable | --disable | --merge <source>)... [options] <image> <bitmap>',
      )
      .argument('[image]', 'qcow2 image')
      .argument('[bitmap]', 'name of the bitmap that is added or changed')
      .allowExcessArguments()
      .helpOption(false)
      // They are parsed as getopt(3) does it, and only shown by the rules of the other commands.
      .configureHelp({ visibleOptions: () => options })
      .addHelpText(
        'after',
        `
Examples:
  bitmap-tool bitmap --add --merge '#ALLOCATED' disk.qcow2 checkpoint-1
  bitmap-tool bitmap --merge checkpoint-2 -b overlay.qcow2 -F qcow2 disk.qcow2 checkpoint-1`,
      )
      .allowUnknownOption()
      .action(async (...[, , , command]: [string, string, object, Command]) => {
        try {
          await run(command.args, command);
        } catch (error) {
          if (
            !(
              error instanceof BitmapToolError ||
              error instanceof GetoptError ||
              error instanceof QemuSizeError
            )
          )
            throw error;
          // qemu-img knows one way to fail.
          process.exitCode = 1;
          printError(`bitmap-tool: ${printable(error.message)}\n`);
          if (error instanceof BitmapToolError && error.hint !== undefined) {
            printError(`${printable(error.hint)}\n`);
          }
        }
      })
  );
}

async function run(args: readonly string[], command: Command): Promise<void> {
  const { options, operands } = getopt(args, OPTIONS);
  const last = (name: string) => options.findLast((option) => option.name === name);
  if (last('help') !== undefined) return command.outputHelp();

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
    throw new GetoptError('Need at least one of --add, --remove, --clear, --enable, --disable, or --merge');
  }
  const grain = granularity === undefined ? undefined : parseQemuSize(granularity, 'granularity');
  if (grain && !has('add')) throw new GetoptError('granularity only supported with --add');
  if (sourceFormat !== undefined && sourceFile === undefined)
    throw new GetoptError('-F only supported with -b');
  if (sourceFile !== undefined && !has('merge')) {
    throw new GetoptError('Merge bitmap source file only supported with --merge');
  }
  const [filename, bitmap] = operands;
  if (filename === undefined || bitmap === undefined || operands.length > 2) {
    throw new GetoptError('Expecting filename and bitmap name');
  }
  const image =
    last('image-opts') === undefined
      ? parseReference(filename, last('f')?.value)
      : parseImageOpts(filename, last('f')?.value);
  await invoke({ quiet: true, progress: false, lock: true }, (common) =>
    applyBitmapActions(image, bitmap, actions, {
      ...common,
      // 0 is what qemu-img takes for "not given".
      granularity: grain === 0 ? undefined : grain,
      sourceImage: sourceFile === undefined ? undefined : parseReference(sourceFile, sourceFormat),
    }),
  );
}

/** `driver=qcow2,file.filename=x`; a comma in a value is doubled. */
function parseImageOpts(text: string, format: string | undefined): ImageReference {
  if (format !== undefined) throw new GetoptError('--image-opts and --format are mutually exclusive');
  const pairs = text.split(/(?<!,)(?:,,)*,(?!,)/).map((pair) => pair.replaceAll(',,', ','));
  const options = pairs.map((pair) => {
    const at = pair.indexOf('=');
    return at < 0 ? [pair, 'on'] : [pair.slice(0, at), pair.slice(at + 1)];
  });
  return parseReference(`json:${JSON.stringify(Object.fromEntries(options))}`, undefined);
}
