/**
 * bitmap-tool add, clear, enable, disable and merge
 */
import { type AddOptions, addBitmaps } from '../../operations/bitmaps/add-bitmaps.ts';
import { clearBitmaps } from '../../operations/bitmaps/clear-bitmaps.ts';
import { mergeBitmaps } from '../../operations/bitmaps/merge-bitmaps.ts';
import { disableBitmaps, enableBitmaps } from '../../operations/bitmaps/set-recording.ts';
import type { ChangeOptions, EditResult } from '../../operations/change-bitmaps.ts';
import { printable, printableJson } from '../../text/printable.ts';
import type { CommandDefinition } from '../command.ts';
import { GRANULARITY_OPTION, WRITING_OPTIONS, type WritingOptions } from '../common-options.ts';
import { DONE } from '../errors.ts';
import type { Invoke } from '../invocation.ts';
import { FILE, FREE, READABLE_BITMAP, STORED_BITMAP } from '../option.ts';
import { print } from '../output.ts';
import { describePlan, describeRunning } from '../print/plan.ts';
import {
  DOMAIN_OPTIONS,
  type DomainFlags,
  type RunningOperations,
  type RunningQemu,
  workOnImage,
} from '../qemu-option.ts';

export type EditFlags = WritingOptions & DomainFlags;

export const IMAGE = { usage: '<image>', description: 'qcow2 image', completes: FILE };
export const EDIT_OPTIONS = [...WRITING_OPTIONS, ...DOMAIN_OPTIONS];

export const clearCommand = namesCommand('clear', 'cleared', clearBitmaps, 'clearRunning');
export const enableCommand = namesCommand('enable', 'enabled', enableBitmaps, 'enableRunning');
export const disableCommand = namesCommand('disable', 'disabled', disableBitmaps, 'disableRunning');

/** A command that changes the named bitmaps. One commit changes all of them, or none. */
function namesCommand(
  verb: string,
  participle: string,
  operation: (image: string, names: readonly string[], options: ChangeOptions) => Promise<EditResult>,
  running: 'clearRunning' | 'enableRunning' | 'disableRunning',
): CommandDefinition<[string, string[]], EditFlags> {
  return {
    arguments: [
      IMAGE,
      {
        usage: '<bitmap...>',
        description: 'names of bitmaps; all are changed at once or none',
        completes: STORED_BITMAP,
      },
    ],
    options: EDIT_OPTIONS,
    examples: [`bitmap-tool ${verb} disk.qcow2 checkpoint-1 checkpoint-2`],
    async run([image, names], flags, { invoke }) {
      await edit(participle, image, flags, invoke, {
        atRest: (path, options) => operation(path, names, options),
        running: (qemu, operations, path, options) => operations[running](qemu, path, names, options),
      });
      return DONE;
    },
  };
}

export const addCommand: CommandDefinition<[string, string[]], EditFlags & AddOptions> = {
  arguments: [
    { ...IMAGE, description: 'qcow2 image (version 3)' },
    {
      usage: '<name...>',
      description: 'names of the new bitmaps; all are added at once or none',
      completes: FREE,
    },
  ],
  options: [
    ...EDIT_OPTIONS,
    GRANULARITY_OPTION,
    { flags: '--disabled', description: 'the bitmaps do not record writes' },
  ],
  examples: ['bitmap-tool add -g 64k disk.qcow2 checkpoint-3'],
  async run([image, names], flags, { invoke }) {
    const { granularity, disabled } = flags;
    await edit('added', image, flags, invoke, {
      atRest: (path, options) => addBitmaps(path, names, { ...options, granularity, disabled }),
      running: (qemu, { addRunning }, path, options) =>
        addRunning(qemu, path, names, { ...options, granularity, disabled }),
    });
    return DONE;
  },
};

export const mergeCommand: CommandDefinition<
  [string, string, string[]],
  EditFlags & { from?: string; anySize?: boolean }
> = {
  arguments: [
    IMAGE,
    { usage: '<target>', description: 'the bitmap that receives the marks', completes: STORED_BITMAP },
    {
      usage: '<source...>',
      description: 'bitmaps to read; #ALLOCATED stands for what the image itself holds',
      completes: READABLE_BITMAP,
    },
  ],
  options: [
    ...EDIT_OPTIONS,
    { flags: '--from <image>', description: 'the image that has the sources', completes: FILE },
    {
      flags: '--any-size',
      description:
        'accept bitmaps of a disk of another size: everything beyond the end of the shorter disk counts as dirty',
    },
  ],
  examples: ["bitmap-tool merge disk.qcow2 checkpoint-1 checkpoint-2 '#ALLOCATED'"],
  async run([image, target, names], flags, { invoke }) {
    const sources = { names, from: flags.from, anySize: flags.anySize };
    await edit('merged into', image, flags, invoke, {
      atRest: (path, options) => mergeBitmaps(path, target, sources, options),
      running: (qemu, { mergeRunning }, path, options) => mergeRunning(qemu, path, target, sources, options),
    });
    return DONE;
  },
};

/** One edit, on the file or in the QEMU that has the image open. */
interface Edit {
  readonly atRest: (image: string, options: ChangeOptions) => Promise<EditResult>;
  readonly running: (
    qemu: RunningQemu,
    operations: RunningOperations,
    image: string,
    options: ChangeOptions,
  ) => Promise<EditResult>;
}

/** Makes one edit and prints the result. */
export async function edit(
  participle: string,
  image: string,
  flags: EditFlags,
  invoke: Invoke,
  { atRest, running }: Edit,
): Promise<void> {
  const { result, isRunning } = await invoke(flags, (common) => {
    const options = { ...common, dryRun: flags.dryRun };
    return workOnImage(image, flags, {
      atRest: (path) => atRest(path, options),
      running: (qemu, operations, path) => running(qemu, operations, path, options),
    });
  });
  if (flags.quiet) return;
  if (flags.json) return print(`${printableJson(result, 2)}\n`);
  const { bitmaps, dryRun, plan } = result;
  const done = dryRun ? `would be ${participle}` : participle;
  await print(`${printable(result.image)}: ${done}: ${bitmaps.map(printable).join(', ')}\n`);
  await print(isRunning ? describeRunning(dryRun) : describePlan(plan, dryRun));
}
