import { expect, it } from 'vitest';
import { parseDomainDisks } from '../../../src/qemu/domain-xml.ts';

const disk = (inner: string, attributes = "type='file' device='disk'") =>
  `<disk ${attributes}>${inner}</disk>`;
const domain = (...disks: string[]) =>
  `<domain type='kvm'><name>vm1</name><devices>${disks.join('')}</devices></domain>`;

it('the XML gives qcow2 disks in files and on block devices, the reasons against other disks, and no drives', () => {
  const xml = domain(
    disk(
      "<driver type='qcow2'/><source file='/a.qcow2' index='3'/><backingStore type='file'><source file='/b'/></backingStore><target dev='vda'/>",
    ),
    disk(
      "<driver type='qcow2'/><source dev='/dev/vg/lv'/><target dev='sdb' bus='scsi'/>",
      "type='block' device='lun'",
    ),
    disk("<driver type='raw'/><source file='/c.img'/><target dev='vdc'/>"),
    disk(
      "<driver type='qcow2'/><source protocol='nbd' name='x'/><target dev='vdd'/>",
      "type='network' device='disk'",
    ),
    disk("<driver type='raw'/><target dev='sda'/>", "type='file' device='cdrom'"),
    disk("<target dev='fda'/>", "type='file' device='floppy'"),
  );
  expect(parseDomainDisks(xml).map(({ target, path, leftOut }) => [target, path, leftOut])).toEqual([
    ['vda', '/a.qcow2', undefined],
    ['sdb', '/dev/vg/lv', undefined],
    ['vdc', '/c.img', '/c.img is raw, which holds no bitmaps'],
    ['vdd', undefined, 'its images are not local files (network)'],
  ]);
});

it('the XML shows which disks the guest cannot write to', () => {
  const image = "<driver type='qcow2'/><source file='/a'/>";
  const xml = domain(disk(`${image}<target dev='vda'/>`), disk(`${image}<target dev='vdb'/><readonly/>`));
  expect(parseDomainDisks(xml).map(({ isReadOnly }) => isReadOnly)).toEqual([false, true]);
});

it('a guest may have no disks', () => {
  expect(parseDomainDisks('<domain><devices/></domain>')).toEqual([]);
});
