/**
 * bitmap-tool add, remove, clear, enable, disable and merge
 */
import { Command } from 'commander';
import { type AddOptions, addBitmaps } from '../../operations/bitmaps/add-bitmaps.ts';
import { clearBitmaps } from '../../operations/bitmaps/clear-bitmaps.ts';
import { mergeBitmaps } from '../../operations/bitmaps/merge-bitmaps.ts';
import { removeBitmaps } from '../../operations/bitmaps/remove-bitmaps.ts';
import { disableBitmaps, enableBitmaps } from '../../operations/bitmaps/set-recording.ts';
import type { ChangeOptions, EditResult } from '../../operations/change-bitmaps.ts';
import { printable, printableJson } from '../../text/printable.ts';
import { addWritingOptions, granularityOption, type WritingOptions } from '../common-options.ts';
import { invoke } from '../invocation.ts';
import { print } from '../output.ts';
import { describePlan, describeRunning } from '../print/plan.ts';
import {
  addQemuOption,
  type QemuFlag,
  type RunningOperations,
  type RunningQemu,
  withQemu,
} from '../qemu-option.ts';

export function editCommands(): Command[] {
  return [
    addCommand(),
    namesCommand('remove', 'removed', removeBitmaps, 'removeRunning').description('remove stored bitmaps'),
    namesCommand('clear', 'cleared', clearBitmaps, 'clearRunning').description(
      'clear the marks of stored bitmaps',
    ),
    namesCommand('enable', 'enabled', enableBitmaps, 'enableRunning').description(
      'let bitmaps record writes',
    ),
    namesCommand('disable', 'disabled', disableBitmaps, 'disableRunning').description(
      'let bitmaps no longer record writes',
    ),
    mergeCommand(),
  ];
}

type EditFlags = WritingOptions & QemuFlag;

/** A command on bitmaps by name; several are changed in one commit or not at all. */
function namesCommand(
  verb: string,
  participle: string,
  operation: (image: string, names: readonly string[], options: ChangeOptions) => Promise<EditResult>,
  running: 'removeRunning' | 'clearRunning' | 'enableRunning' | 'disableRunning',
): Command {
  return addQemuOption(addWritingOptions(new Command(verb)))
    .argument('<image>', 'qcow2 image')
    .argument('<bitmap...>', 'names of bitmaps; all are changed at once or none')
    .addHelpText('after', `\nExample:\n  bitmap-tool ${verb} disk.qcow2 checkpoint-1 checkpoint-2`)
    .action((image: string, names: string[], flags: EditFlags) =>
      edit(participle, flags, {
        atRest: (options) => operation(image, names, options),
        running: (qemu, operations, options) => operations[running](qemu, image, names, options),
      }),
    );
}

function addCommand(): Command {
  return addQemuOption(addWritingOptions(new Command('add')))
    .description('add bitmaps with nothing marked')
    .argument('<image>', 'qcow2 image (version 3)')
    .argument('<name...>', 'names of the new bitmaps; all are added at once or none')
    .addOption(granularityOption())
    .option('--disabled', 'the bitmaps do not record writes')
    .addHelpText('after', '\nExample:\n  bitmap-tool add -g 64k disk.qcow2 checkpoint-3')
    .action((image: string, names: string[], flags: EditFlags & AddOptions) => {
      const { granularity, disabled } = flags;
      return edit('added', flags, {
        atRest: (options) => addBitmaps(image, names, { ...options, granularity, disabled }),
        running: (qemu, { addRunning }, options) =>
          addRunning(qemu, image, names, { ...options, granularity, disabled }),
      });
    });
}

function mergeCommand(): Command {
  return addQemuOption(addWritingOptions(new Command('merge')))
    .description('merge bitmaps into one of the image')
    .argument('<image>', 'qcow2 image')
    .argument('<target>', 'the bitmap that receives the marks')
    .argument('<source...>', 'bitmaps to read; #ALLOCATED stands for what the image itself holds')
    .option('--from <image>', 'the image that has the sources')
    .option('--any-size', 'take them of a disk of another size: beyond a shorter one all counts as dirty')
    .addHelpText('after', "\nExample:\n  bitmap-tool merge disk.qcow2 checkpoint-1 checkpoint-2 '#ALLOCATED'")
    .action(
      (
        image: string,
        target: string,
        names: string[],
        flags: EditFlags & { from?: string; anySize?: boolean },
      ) => {
        const sources = { names, from: flags.from, anySize: flags.anySize };
        return edit('merged into', flags, {
          atRest: (options) => mergeBitmaps(image, target, sources, options),
          running: (qemu, { mergeRunning }, options) => mergeRunning(qemu, image, target, sources, options),
        });
      },
    );
}

/** One edit, in the file or in the QEMU that has it open. */
interface Edit {
  readonly atRest: (options: ChangeOptions) => Promise<EditResult>;
  readonly running: (
    qemu: RunningQemu,
    operations: RunningOperations,
    options: ChangeOptions,
  ) => Promise<EditResult>;
}

async function edit(participle: string, flags: EditFlags, { atRest, running }: Edit): Promise<void> {
  const { qmp } = flags;
  const result = await invoke(flags, (common) => {
    const options = { ...common, dryRun: flags.dryRun };
    if (qmp === undefined) return atRest(options);
    return withQemu(qmp, (qemu, operations) => running(qemu, operations, options));
  });
  if (flags.quiet) return;
  if (flags.json) return print(`${printableJson(result, 2)}\n`);
  const { image, bitmaps, dryRun, plan } = result;
  const done = dryRun ? `would be ${participle}` : participle;
  await print(`${printable(image)}: ${done}: ${bitmaps.map(printable).join(', ')}\n`);
  await print(qmp === undefined ? describePlan(plan, dryRun) : describeRunning(dryRun));
}
