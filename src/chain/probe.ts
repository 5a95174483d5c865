/**
 * Detects the format of an image from its first bytes. Used where no format is stored or given.
 */
import { view } from '../bytes/struct.ts';
import { MAGIC } from '../format/header.ts';

const PROBE_BYTES = 512;

/** Formats that QEMU recognises and this tool does not read. They must not be read as raw. */
const OTHER_FORMATS: readonly { format: string; offset: number; magic: string }[] = [
  { format: 'qed', offset: 0, magic: 'QED\0' },
  { format: 'vmdk', offset: 0, magic: 'KDMV' },
  { format: 'vmdk', offset: 0, magic: 'COWD' },
  { format: 'vhdx', offset: 0, magic: 'vhdxfile' },
  { format: 'vpc', offset: 0, magic: 'conectix' },
  { format: 'vdi', offset: 64, magic: '\x7f\x10\xda\xbe' },
  { format: 'luks', offset: 0, magic: 'LUKS\xba\xbe' },
  { format: 'parallels', offset: 0, magic: 'WithoutFreeSpace' },
  { format: 'parallels', offset: 0, magic: 'WithouFreSpacExt' },
  { format: 'bochs', offset: 0, magic: 'Bochs Virtual HD Image' },
  { format: 'cloop', offset: 0, magic: '#!/bin/sh\n#V2.0 Format\nmodprobe cloop' },
];

/** A VMDK descriptor: comments and lines of spaces, then its version. */
const VMDK_DESCRIPTOR = /^(?:#[^\n]*\n| +\r?\n)*version=[123]\r?\n/;

export { PROBE_BYTES };

/** @param start the first PROBE_BYTES of the image */
export function probeFormat(start: Uint8Array): string {
  if (view(start).getUint32(0) === MAGIC) return view(start).getUint32(4) === 1 ? 'qcow' : 'qcow2';
  const text = String.fromCharCode(...start);
  if (VMDK_DESCRIPTOR.test(text)) return 'vmdk';
  return OTHER_FORMATS.find(({ offset, magic }) => text.startsWith(magic, offset))?.format ?? 'raw';
}
