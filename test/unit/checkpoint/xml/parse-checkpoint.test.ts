/** The XML of checkpoints: the fields that are read, and refused documents. */
import { describe, expect, test } from 'vitest';
import { checkpointXml } from '../../../../src/checkpoint/xml/encode-checkpoint.ts';
import { parseCheckpoint } from '../../../../src/checkpoint/xml/parse-checkpoint.ts';
import { FormatError } from '../../../../src/format/format-error.ts';

const DUMP = `<?xml version='1.0' encoding='UTF-8'?>
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE.
-->
<domaincheckpoint>
  <name>1525889631</name>
  <description>before &lt;update&gt; &amp; reboot</description>
  <parent>
    <name>c-0.9_x</name>
  </parent>
  <creationTime>1700000000</creationTime>
  <disks>
    <disk name='vda' checkpoint='bitmap' bitmap='1525889631' size='65536'/>
    <disk name='/images/data disk.qcow2' bitmap='other'/>
    <disk name='sda' checkpoint='no'/>
  </disks>
  <domain type='kvm'>
    <name>machine</name>
    <devices>
      <disk type='file' device='disk'>
        <source file='/images/system.qcow2' index='1'>
          <privateData/>
        </source>
        <backingStore type='file'><source file='/images/base.qcow2'/></backingStore>
        <target dev='vda' bus='virtio'/>
      </disk>
      <disk type='file' device='disk'>
        <source file='/images/data disk.qcow2'/>
        <target dev='vdb' bus='virtio'/>
      </disk>
      <disk type='block' device='disk'><source dev='/dev/vg/lv'/><target dev='sda'/></disk>
      <disk type='network'><source protocol='rbd' name='pool/x'/><target dev='vdc'/></disk>
      <disk device='cdrom'><target dev='hdc'/></disk>
    </devices>
  </domain>
</domaincheckpoint>
`;

const CHECKPOINT = {
  name: '1525889631',
  parent: 'c-0.9_x',
  creationTime: 1_700_000_000,
  description: 'before <update> & reboot',
  disks: [
    {
      name: 'vda',
      checkpoint: 'bitmap',
      bitmap: '1525889631',
      target: 'vda',
      source: '/images/system.qcow2',
    },
    {
      name: '/images/data disk.qcow2',
      checkpoint: 'bitmap',
      bitmap: 'other',
      target: 'vdb',
      source: '/images/data disk.qcow2',
    },
    { name: 'sda', checkpoint: 'no', bitmap: '1525889631', target: 'sda', source: '/dev/vg/lv' },
  ],
};

describe('a checkpoint', () => {
  test('has disks with the target and source from the domain', () => {
    expect(parseCheckpoint(DUMP)).toEqual(CHECKPOINT);
  });

  test('has the complete backing chain and the guest that libvirt has written', () => {
    const store = (inner: string, source = '') =>
      `<backingStore type='file'>${source}${inner}</backingStore>`;
    const stores = [
      '<backingStore/>',
      store(store('<backingStore/>', `<source dev='/dev/base'/>`), `<source file='/mid'/>`),
      store('<backingStore/>', `<source protocol='nbd' name='x'/>`),
      store('', `<source file='/mid'/>`),
      '',
    ];
    const elements = stores.map((each, index) => `<disk><target dev='vd${index}'/>${each}</disk>`);
    const domain = `<domain><uuid>u1</uuid><devices>${elements.join('')}</devices></domain>`;
    const named = stores.map((_, index) => `<disk name='vd${index}'/>`);
    const checkpoint = parseCheckpoint(minimal(`<disks>${named.join('')}</disks>${domain}`));
    expect(checkpoint.guest).toBe('u1');
    expect(checkpoint.disks.map(({ backing }) => backing)).toEqual([
      [],
      ['/mid', '/dev/base'],
      [undefined],
      undefined,
      undefined,
    ]);
  });

  test('may have as many images in its chain as libvirt allows', () => {
    const chain = `${`<backingStore><source file='/x'/>`.repeat(199)}<backingStore/>${'</backingStore>'.repeat(199)}`;
    const domain = `<domain><devices><disk><target dev='vda'/>${chain}</disk></devices></domain>`;
    const {
      disks: [disk],
    } = parseCheckpoint(minimal(`<disks><disk name='vda'/></disks>${domain}`));
    expect(disk!.backing).toHaveLength(199);
  });

  test('needs no disks, no domain and no parent', () => {
    expect(parseCheckpoint(minimal())).toEqual({
      name: 'c1',
      parent: undefined,
      creationTime: 5,
      description: undefined,
      disks: [],
    });
  });

  test('may have its name in several text nodes', () => {
    const xml = minimal().replace('<name>c1<', '<name>c<!-- x --><![CDATA[1]]>&#46;2<');
    expect(parseCheckpoint(xml).name).toBe('c1.2');
  });

  test('has the same content without its domain, except for what only the domain contains', () => {
    const xml = checkpointXml(CHECKPOINT as never);
    expect(xml).not.toContain('<domain ');
    expect(parseCheckpoint(xml)).toEqual({
      ...CHECKPOINT,
      disks: [
        { ...CHECKPOINT.disks[0], source: undefined },
        { ...CHECKPOINT.disks[1], target: undefined },
        { ...CHECKPOINT.disks[2], source: undefined },
      ],
    });
  });

  test('keeps every character of a path that XML can contain', () => {
    const name = `/a'b"c<d>e&f;ü€😀]]>`;
    const disk = { ...CHECKPOINT.disks[1], name, source: name, target: undefined };
    const checkpoint = { ...CHECKPOINT, description: 'two\r\nlines', disks: [disk] };
    expect(parseCheckpoint(checkpointXml(checkpoint as never))).toEqual(checkpoint);
  });
});

function minimal(inner = ''): string {
  return `<domaincheckpoint><name>c1</name><creationTime>5</creationTime>${inner}</domaincheckpoint>`;
}

const disks = (...elements: string[]) => minimal(`<disks>${elements.join('')}</disks>`);

describe('a checkpoint file is refused with', () => {
  test.each([
    ['text that is not XML', 'c1', /not well-formed XML: line 1: /],
    ['nothing', '', /not well-formed XML: .*must contain a root element/],
    ['a document that ends early', minimal().slice(0, -9), /not well-formed XML: line 1: unclosed tag/],
    ['a second root', `${minimal()}<x/>`, /not well-formed XML: .*only one root/],
    ['a duplicate attribute', disks(`<disk name='vda' name='vdb'/>`), /duplicate attribute/],
    ['an undefined entity', minimal('&lol;'), /undefined entity/],
    ['a DOCTYPE', `<!DOCTYPE x [<!ENTITY a "b">]>\n${minimal()}`, /line 1: a DOCTYPE/],
    ['another encoding', `<?xml version='1.0' encoding='latin1'?>${minimal()}`, /the encoding latin1/],
    ['endless nesting', '<a>'.repeat(257), /nested more than 256 deep/],
    ['a snapshot', '<domainsnapshot/>', /of a <domainsnapshot>, must be of a <domaincheckpoint>/],
    ['no name', minimal().replace(/<name>.*<.name>/, ''), /the checkpoint has no <name>/],
    ['a second name', minimal('<name>c2</name>'), /<domaincheckpoint> has 2 <name>, must have one/],
    ['no time', minimal().replace(/<creation.*Time>/, ''), /has no <creationTime>/],
    ['an invalid time', minimal().replace('>5<', '>5.5<'), /<creationTime> is "5.5"/],
    ['a time beyond 2^53', minimal().replace('>5<', '>9007199254740993<'), /<creationTime> is/],
    ['a time before 1970', minimal().replace('>5<', '>-5<'), /<creationTime> is "-5"/],
    ['a parent without a name', minimal('<parent/>'), /its parent has no <name>/],
    [
      'a parent like a path',
      minimal('<parent><name>../x</name></parent>'),
      /its parent has the name "..\/x"/,
    ],
    ['a disk without a name', disks('<disk/>'), /a <disk> has no name/],
    [
      'a disk name that is not a target or a path',
      disks(`<disk name='disk.qcow2'/>`),
      /"disk.qcow2", must be/,
    ],
    ['a disk of a snapshot', disks(`<disk name='vda' checkpoint='internal'/>`), /checkpoint="internal"/],
    ['a disk twice', disks(`<disk name='vda'/>`, `<disk name='vda'/>`), /the disk vda occurs twice/],
    ['a path twice', disks(`<disk name='/a'/>`, `<disk name='/a'/>`), /the disk \/a occurs twice/],
    [
      'a disk by target and by path',
      DUMP.replace('</disks>', `<disk name='/images/system.qcow2'/></disks>`),
      /the disk vda occurs twice/,
    ],
  ])('%s', (_, xml, says) => {
    expect(() => parseCheckpoint(xml)).toThrow(says);
    expect(() => parseCheckpoint(xml)).toThrow(FormatError);
  });

  test.each(['', '.hidden', 'a b', 'a/b', 'c1\n', 'ü', 'x'.repeat(1024)])('the name %j', (name) => {
    expect(() => parseCheckpoint(minimal().replace('>c1<', `>${name}<`))).toThrow(/has the name/);
  });
});
