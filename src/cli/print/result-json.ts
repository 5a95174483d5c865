/**
 * A result as the JSON document for scripts. Remedies have the same wording as in the text output.
 */
import type { Remedy, RepairCall } from '../../remedy.ts';
import { printableJson } from '../../text/printable.ts';
import { type RepairWay, repairCommand } from '../remedy/checkpoint-words.ts';

/**
 * @param hintFor returns the text of a remedy for the command that prints
 * @param way the options that advised calls take over
 */
export function resultJson(result: object, hintFor: (remedy: Remedy) => string, way?: RepairWay): string {
  return `${printableJson(worded(result, hintFor, way), 2)}\n`;
}

function worded(value: unknown, hintFor: (remedy: Remedy) => string, way: RepairWay | undefined): unknown {
  if (Array.isArray(value)) return value.map((each) => worded(each, hintFor, way));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, each]) => {
    if (key === 'remedy') return ['hint', hintFor(each as Remedy)];
    if (key === 'advice' && each !== null) return [key, repairCommand(each as RepairCall, way)];
    return [key, worded(each, hintFor, way)];
  });
  return Object.fromEntries(entries);
}
