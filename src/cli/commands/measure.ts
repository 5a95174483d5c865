/**
 * bitmap-tool measure
 */
import { type MeasureResult, measure } from '../../operations/create-from/measure.ts';
import { counted } from '../../text/counted.ts';
import { printable, printableJson } from '../../text/printable.ts';
import { formatSize } from '../../text/size.ts';
import type { CommandDefinition } from '../command.ts';
import { COMMON_OPTIONS } from '../common-options.ts';
import { DONE } from '../errors.ts';
import { FILE } from '../option.ts';
import { print } from '../output.ts';
import { TARGET_OPTIONS, type TargetFlags, targetOf } from '../target-options.ts';

export const measureCommand: CommandDefinition<[string], TargetFlags> = {
  arguments: [{ usage: '<image>', description: 'qcow2 image (version 3)', completes: FILE }],
  options: [...COMMON_OPTIONS, ...TARGET_OPTIONS],
  examples: ['bitmap-tool measure --allocated /dev/vg/lv   # then lvextend to the printed size'],
  async run([image], flags, { invoke }) {
    const { source, options } = await targetOf(flags);
    const result = await invoke(flags, (common) => measure(image, source, { ...common, ...options }));
    if (!flags.quiet) await print(flags.json ? `${printableJson(result, 2)}\n` : describe(result));
    return DONE;
  },
};

function describe({ image, bitmaps, clusters, requiredBytes, endOffset, newEndOffset }: MeasureResult) {
  return (
    `${printable(image)}: ${counted(bitmaps.length, 'new bitmap')}: ${counted(clusters, 'cluster')}, ${formatSize(requiredBytes)}\n` +
    `size now ${endOffset} bytes, needed ${newEndOffset} bytes\n`
  );
}
