/**
 * bitmap-tool bitmap: the arguments, effects and exit status of `qemu-img bitmap`, for scripts that call it.
 */
import { Command } from 'commander';
import { type ImageReference, parseReference } from '../../chain/reference.ts';
import { BitmapToolError } from '../../errors.ts';
import { applyBitmapActions, type BitmapAction } from '../../operations/bitmap-actions.ts';
import { printable } from '../../text/printable.ts';
import { parseSize } from '../../text/size.ts';
import { GetoptError, getopt, type LongOption } from '../getopt.ts';
import { invoke } from '../invocation.ts';
import { print } from '../output.ts';

const ACTIONS = ['add', 'remove', 'clear', 'enable', 'disable'] as const;

/** Those of QEMU 7.2, and --force-share, which later tools pass. */
const OPTIONS: readonly LongOption[] = [
  ...ACTIONS.map((name) => ({ name, takesValue: false })),
  { name: 'merge', takesValue: true },
  { name: 'granularity', takesValue: true, short: 'g' },
  { name: 'source-file', takesValue: true, short: 'b' },
  { name: 'source-format', takesValue: true, short: 'F' },
  // qemu-img has the letter only.
  { name: 'f', takesValue: true, short: 'f' },
  { name: 'image-opts', takesValue: false },
  { name: 'object', takesValue: true },
  { name: 'force-share', takesValue: false, short: 'U' },
  { name: 'help', takesValue: false, short: 'h' },
];

const USAGE = `Usage: bitmap-tool bitmap (--merge SOURCE | --add | --remove | --clear | --enable | --disable)...
         [-b SOURCE_FILE [-F SOURCE_FORMAT]] [-g GRANULARITY] [--image-opts | -f FORMAT] FILENAME BITMAP

The arguments of qemu-img bitmap, with the same effects and an exit status of 0 or 1. A source may be #ALLOCATED.

Example:
  bitmap-tool bitmap --add --merge '#ALLOCATED' disk.qcow2 checkpoint-1
`;

export function bitmapCommand(): Command {
  return new Command('bitmap')
    .description('the arguments of qemu-img bitmap, as a drop-in')
    .usage('(--add | --remove | --clear | --enable | --disable | --merge SOURCE)... FILENAME BITMAP')
    .argument('[arguments...]')
    .helpOption(false)
    .addHelpText(
      'after',
      "\nExample:\n  bitmap-tool bitmap --add --merge '#ALLOCATED' disk.qcow2 checkpoint-1",
    )
    .allowUnknownOption()
    .action(async (_words: string[], _options: object, command: Command) => {
      try {
        await run(command.args);
      } catch (error) {
        if (!(error instanceof BitmapToolError || error instanceof GetoptError)) throw error;
        // qemu-img knows one way to fail.
        process.exitCode = 1;
        process.stderr.write(`bitmap-tool: ${printable(error.message)}\n`);
        if (error instanceof BitmapToolError && error.hint !== undefined) {
          process.stderr.write(`${printable(error.hint)}\n`);
        }
      }
    });
}

async function run(args: readonly string[]): Promise<void> {
  const { options, operands } = getopt(args, OPTIONS);
  const last = (name: string) => options.findLast((option) => option.name === name);
  if (last('help') !== undefined) return print(USAGE);

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
  const grain = granularity === undefined ? undefined : parseSize(granularity);
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
