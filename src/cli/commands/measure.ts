/**
 * bitmap-tool measure
 */
import { Command } from 'commander';
import { measure } from '../../operations/create-from/measure.ts';
import { printable, printableJson } from '../../text/printable.ts';
import { formatSize } from '../../text/size.ts';
import { addCommonOptions } from '../common-options.ts';
import { invoke } from '../invocation.ts';
import { print } from '../output.ts';
import { count } from '../print/plan.ts';
import { addTargetOptions, type TargetFlags, targetOf } from '../target-options.ts';

export function measureCommand(): Command {
  return addTargetOptions(addCommonOptions(new Command('measure')))
    .description('say what create-from with the same options would use, and write nothing')
    .argument('<image>', 'qcow2 image (version 3)')
    .addHelpText(
      'after',
      '\nExample:\n  bitmap-tool measure --allocated /dev/vg/lv   # then lvextend to the size it says',
    )
    .action(async (image: string, flags: TargetFlags) => {
      const { source, options } = await targetOf(flags);
      const result = await invoke(flags, (common) => measure(image, source, { ...common, ...options }));
      if (flags.quiet) return;
      if (flags.json) return print(`${printableJson(result, 2)}\n`);
      const { bitmaps, clusters, requiredBytes, endOffset, newEndOffset } = result;
      await print(
        `${printable(result.image)}: ${count(bitmaps.length, 'new bitmap')}: ${count(clusters, 'cluster')}, ${formatSize(requiredBytes)}\n` +
          `size now ${endOffset} bytes, needed ${newEndOffset} bytes\n`,
      );
    });
}
