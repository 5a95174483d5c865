/**
 * bitmap-tool remove
 */
import { Command } from 'commander';
import { removeBitmaps } from '../../operations/remove-bitmaps.ts';
import { addWritingOptions, type CommonOptions } from '../common-options.ts';
import { invoke } from '../invocation.ts';
import { print } from '../output.ts';
import { describePlan } from '../print/plan.ts';
import { printable } from '../print/printable.ts';

export function removeCommand(): Command {
  return addWritingOptions(new Command('remove'))
    .description('remove stored bitmaps; several go at once or not at all')
    .argument('<image>', 'qcow2 image')
    .argument('<bitmap...>', 'names of bitmaps')
    .addHelpText('after', '\nExample:\n  bitmap-tool remove disk.qcow2 checkpoint-1 checkpoint-2')
    .action(async (image: string, names: string[], options: CommonOptions & { dryRun?: boolean }) => {
      const result = await invoke(options, (common) =>
        removeBitmaps(image, names, { ...common, dryRun: options.dryRun }),
      );
      if (options.quiet) return;
      if (options.json) return print(`${JSON.stringify(result, null, 2)}\n`);
      const verb = result.dryRun ? 'would remove' : 'removed';
      await print(`${printable(result.image)}: ${verb} ${result.removed.map(printable).join(', ')}\n`);
      await print(describePlan(result.plan, result.dryRun));
    });
}
