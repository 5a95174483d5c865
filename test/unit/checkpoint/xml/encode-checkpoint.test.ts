/** The XML of a checkpoint contains only what libvirt needs. */
import { expect, test } from 'vitest';
import { checkpointXml } from '../../../../src/checkpoint/xml/encode-checkpoint.ts';

const MINIMAL = { name: 'c1', parent: undefined, creationTime: 5, description: undefined, disks: [] };

test('a minimal checkpoint has a name and a time', () => {
  expect(checkpointXml(MINIMAL).split('\n')).toEqual([
    '<domaincheckpoint>',
    '  <name>c1</name>',
    '  <creationTime>5</creationTime>',
    '</domaincheckpoint>',
    '',
  ]);
});

test('a complete checkpoint has all elements in this order', () => {
  const disk = { bitmap: 'c1', target: undefined, source: undefined };
  const checkpoint = {
    ...MINIMAL,
    parent: 'c0',
    description: 'a & b',
    disks: [
      { ...disk, name: 'vda', checkpoint: 'bitmap' },
      { ...disk, name: 'vdb', checkpoint: 'no' },
    ],
  } as const;
  expect(checkpointXml(checkpoint).split('\n')).toEqual([
    '<domaincheckpoint>',
    '  <name>c1</name>',
    '  <description>a &amp; b</description>',
    '  <parent>',
    '    <name>c0</name>',
    '  </parent>',
    '  <creationTime>5</creationTime>',
    '  <disks>',
    "    <disk name='vda' checkpoint='bitmap' bitmap='c1'/>",
    "    <disk name='vdb' checkpoint='no'/>",
    '  </disks>',
    '</domaincheckpoint>',
    '',
  ]);
});
