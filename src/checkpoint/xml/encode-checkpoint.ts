/**
 * Encodes a checkpoint as XML for `virsh checkpoint-create --redefine`, with only the parts that libvirt
 * needs.
 */
import { escapeMarkup } from '../../text/xml-text.ts';
import type { Checkpoint, CheckpointDisk } from '../checkpoint.ts';

/** The properties of a checkpoint that libvirt needs to redefine it. */
export type CheckpointToDefine = Pick<Checkpoint, 'name' | 'parent' | 'creationTime' | 'description'> & {
  readonly disks: readonly Pick<CheckpointDisk, 'name' | 'checkpoint' | 'bitmap'>[];
};

export function checkpointXml({
  name,
  parent,
  creationTime,
  description,
  disks,
}: CheckpointToDefine): string {
  return [
    '<domaincheckpoint>',
    `  <name>${escapeMarkup(name)}</name>`,
    ...(description === undefined ? [] : [`  <description>${escapeMarkup(description)}</description>`]),
    ...(parent === undefined
      ? []
      : ['  <parent>', `    <name>${escapeMarkup(parent)}</name>`, '  </parent>']),
    `  <creationTime>${creationTime}</creationTime>`,
    // libvirt requires at least one disk.
    ...(disks.length === 0 ? [] : ['  <disks>']),
    ...disks.map(({ name: disk, checkpoint, bitmap }) =>
      checkpoint === 'no'
        ? `    <disk name='${escapeMarkup(disk)}' checkpoint='no'/>`
        : `    <disk name='${escapeMarkup(disk)}' checkpoint='bitmap' bitmap='${escapeMarkup(bitmap)}'/>`,
    ),
    ...(disks.length === 0 ? [] : ['  </disks>']),
    '</domaincheckpoint>',
    '',
  ].join('\n');
}
