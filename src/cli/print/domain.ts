/**
 * A libvirt guest, and libvirt's own information about its checkpoints.
 */
import type { DomainReport } from '../../operations/running/running.ts';
import { printable } from '../../text/printable.ts';
import { formatSize } from '../../text/size.ts';
import { color } from '../color.ts';

export function domainTitle(domain: DomainReport | undefined): string {
  if (domain === undefined) return '';
  return `${printable(domain.name)} is ${printable(domain.state)}: ${domain.targets.map(printable).join(', ')}\n`;
}

export function domainVerdicts(domain: DomainReport | undefined): string {
  if (domain === undefined) return '';
  return domain.verdicts.map(describeVerdict).join('');
}

type Verdict = DomainReport['verdicts'][number];

function describeVerdict({ checkpoint, valid, dirtyBytes, message, redefined }: Verdict): string {
  const name = printable(checkpoint);
  if (!valid) return `libvirt: ${name}: ${color.red('refused')}: ${printable(message ?? '')}\n`;
  const copies = dirtyBytes === null ? '' : `, a backup copies ${formatSize(dirtyBytes)}`;
  return `libvirt: ${name}: ${color.green('valid')}${redefined ? ', and defined again' : ''}${copies}\n`;
}
