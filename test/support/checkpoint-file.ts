/** The XML of a checkpoint as libvirt stores it, with the guest and the chain of each disk. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

interface CheckpointOnFile {
  parent?: string;
  guest?: string;
  /** By target, the images of the chain, the active one first. */
  disks: Readonly<Record<string, readonly string[]>>;
}

const GUEST = '82f2fba5-acb8-4bc7-85b7-199824b4f9d6';

/** Writes it into a folder, under its name. */
export async function putCheckpoint(
  folder: string,
  name: string,
  { parent, guest = GUEST, disks }: CheckpointOnFile,
): Promise<string> {
  const path = join(folder, `${name}.xml`);
  const targets = Object.keys(disks);
  await writeFile(
    path,
    `<domaincheckpoint>
  <name>${name}</name>${parent === undefined ? '' : `<parent><name>${parent}</name></parent>`}
  <creationTime>${1_700_000_000 + Number(/\d+$/.exec(name)?.[0] ?? 0)}</creationTime>
  <disks>${targets.map((target) => `<disk name='${target}' checkpoint='bitmap' bitmap='${name}'/>`).join('')}</disks>
  <domain type='kvm'><name>vm1</name><uuid>${guest}</uuid><devices>
${targets.map((target) => diskElement(target, disks[target]!)).join('\n')}
  </devices></domain>
</domaincheckpoint>
`,
  );
  return path;
}

function diskElement(target: string, [source, ...below]: readonly string[]): string {
  const stores = below.reduceRight(
    (inner, path) =>
      `<backingStore type='file'><format type='qcow2'/><source file='${path}'/>${inner}</backingStore>`,
    '<backingStore/>',
  );
  return `<disk type='file' device='disk'><source file='${source}'/>${stores}<target dev='${target}' bus='virtio'/></disk>`;
}
