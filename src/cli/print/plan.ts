/**
 * Describes the writes of a change or of a dry run.
 */
import type { PlanReport } from '../../operations/change-bitmaps.ts';
import { counted } from '../../text/counted.ts';
import { printable } from '../../text/printable.ts';
import { formatSize } from '../../text/size.ts';

export function describePlan(plan: PlanReport | null, dryRun: boolean): string {
  if (plan === null) return 'Nothing to write: the image already has the requested state.\n';
  const { claimedClusters, releasedClusters, releasedBytes, bytesWritten, newEndOffset, steps } = plan;
  const verb = dryRun ? 'Would write' : 'Wrote';
  const summary = `${verb} ${formatSize(bytesWritten)}: ${counted(claimedClusters, 'new cluster')}, ${releasedClusters} given back${releasedClusters === 0 ? '' : ` (${formatSize(releasedBytes)})`}; the image ${dryRun ? 'would end' : 'ends'} at ${newEndOffset} bytes.\n`;
  if (steps === undefined) return summary;
  const lines = steps.map((step) =>
    step.kind === 'flush'
      ? `  flush  ${printable(step.reason)}\n`
      : `  write  ${step.length} bytes at 0x${step.offset!.toString(16)}: ${printable(step.reason)}\n`,
  );
  return `${summary}${lines.join('')}Nothing was written.\n`;
}

/** Describes a change in a running QEMU. QEMU writes the image itself. */
export function describeRunning(dryRun: boolean): string {
  return dryRun
    ? 'Nothing was changed.\n'
    : 'Done in the running QEMU, which stores it in the image when it closes that.\n';
}
