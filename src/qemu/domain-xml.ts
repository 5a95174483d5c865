/**
 * The disks of a guest, from the output of `virsh dumpxml`.
 */
import { childOf, childrenOf, parseXml, type XmlElement } from '../checkpoint/xml/xml-element.ts';

export interface DomainDisk {
  /** For example vda. */
  readonly target: string;
  /** Path of the active image, a file or a block device; undefined if there is none, or it is not local. */
  readonly path: string | undefined;
  /** For example qcow2. */
  readonly format: string;
  /** The guest cannot write to it. */
  readonly isReadOnly: boolean;
  /** The reason why the disk cannot have a checkpoint; undefined if it can. */
  readonly leftOut: string | undefined;
}

/** @throws FormatError when libvirt's output is not valid XML */
export function parseDomainDisks(xml: string): DomainDisk[] {
  const devices = childOf(parseXml(xml), 'devices');
  return childrenOf(devices, 'disk').flatMap((disk) => {
    const target = childOf(disk, 'target')?.attributes['dev'];
    // Backups leave out CD drives and floppy drives.
    const device = disk.attributes['device'] ?? 'disk';
    if (target === undefined || (device !== 'disk' && device !== 'lun')) return [];
    const source = childOf(disk, 'source');
    const path = source?.attributes['file'] ?? source?.attributes['dev'];
    const format = childOf(disk, 'driver')?.attributes['type'] ?? 'raw';
    const isReadOnly = childOf(disk, 'readonly') !== undefined;
    return [{ target, path, format, isReadOnly, leftOut: reasonToLeaveOut(disk, path, format) }];
  });
}

function reasonToLeaveOut(disk: XmlElement, path: string | undefined, format: string): string | undefined {
  const type = disk.attributes['type'] ?? 'file';
  if (path === undefined) return `its images are not local files (${type})`;
  return format === 'qcow2' ? undefined : `${path} is ${format}, which holds no bitmaps`;
}
