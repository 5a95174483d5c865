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
import { describePlan } from '../print/plan.ts';

export function editCommands(): Command[] {
  return [
    addCommand(),
    namesCommand('remove', 'removed', removeBitmaps).description('remove stored bitmaps'),
    namesCommand('clear', 'cleared', clearBitmaps).description('clear the marks of stored bitmaps'),
    namesCommand('enable', 'enabled', enableBitmaps).description('let bitmaps record writes'),
    namesCommand('disable', 'disabled', disableBitmaps).description('let bitmaps no longer record writes'),
    mergeCommand(),
  ];
}

/** A command on bitmaps by name; several are changed in one commit or not at all. */
function namesCommand(
  verb: string,
  participle: string,
  operation: (image: string, names: readonly string[], options: ChangeOptions) => Promise<EditResult>,
): Command {
  return addWritingOptions(new Command(verb))
    .argument('<image>', 'qcow2 image')
    .argument('<bitmap...>', 'names of bitmaps; all are changed at once or none')
    .addHelpText('after', `\nExample:\n  bitmap-tool ${verb} disk.qcow2 checkpoint-1 checkpoint-2`)
    .action((image: string, names: string[], options: WritingOptions) =>
      edit(participle, options, (common) => operation(image, names, common)),
    );
}

function addCommand(): Command {
  return addWritingOptions(new Command('add'))
    .description('add bitmaps with nothing marked')
    .argument('<image>', 'qcow2 image (version 3)')
    .argument('<name...>', 'names of the new bitmaps; all are added at once or none')
    .addOption(granularityOption())
    .option('--disabled', 'the bitmaps do not record writes')
    .addHelpText('after', '\nExample:\n  bitmap-tool add -g 64k disk.qcow2 checkpoint-3')
    .action((image: string, names: string[], options: WritingOptions & AddOptions) =>
      edit('added', options, (common) => {
        const { granularity, disabled } = options;
        return addBitmaps(image, names, { ...common, granularity, disabled });
      }),
    );
}

function mergeCommand(): Command {
  return addWritingOptions(new Command('merge'))
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
        options: WritingOptions & { from?: string; anySize?: boolean },
      ) =>
        edit('merged into', options, (common) =>
          mergeBitmaps(image, target, { names, from: options.from, anySize: options.anySize }, common),
        ),
    );
}

async function edit(
  participle: string,
  options: WritingOptions,
  operation: (options: ChangeOptions) => Promise<EditResult>,
): Promise<void> {
  const result = await invoke(options, (common) => operation({ ...common, dryRun: options.dryRun }));
  if (options.quiet) return;
  if (options.json) return print(`${printableJson(result, 2)}\n`);
  const { image, bitmaps, dryRun, plan } = result;
  const done = dryRun ? `would be ${participle}` : participle;
  await print(`${printable(image)}: ${done}: ${bitmaps.map(printable).join(', ')}\n`);
  await print(describePlan(plan, dryRun));
}
