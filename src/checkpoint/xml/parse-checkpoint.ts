/**
 * Parses the output of `virsh checkpoint-dumpxml`, with or without the domain in it.
 */
import type { Checkpoint, CheckpointDisk } from '../checkpoint.ts';
import { isCheckpointName, isDiskName } from '../names.ts';
import { invalid } from './invalid-checkpoint.ts';
import { childOf, childrenOf, parseXml, type XmlElement } from './xml-element.ts';

/** @throws FormatError */
export function parseCheckpoint(text: string): Checkpoint {
  const root = parseXml(text);
  if (root.name !== 'domaincheckpoint') {
    throw invalid(`the XML of a <${root.name}>, must be of a <domaincheckpoint>`, {
      kind: 'name-checkpoint-folder',
      folder: undefined,
    });
  }
  const name = nameOf(root, 'the checkpoint');
  const parent = childOf(root, 'parent');
  return {
    name,
    parent: parent && nameOf(parent, 'its parent'),
    creationTime: creationTimeOf(root),
    description: childOf(root, 'description')?.text,
    guest: childOf(childOf(root, 'domain'), 'uuid')?.text,
    disks: disksOf(root, name),
  };
}

function nameOf(element: XmlElement, what: string): string {
  const name = childOf(element, 'name')?.text;
  if (name === undefined) throw invalid(`${what} has no <name>`);
  if (!isCheckpointName(name)) {
    throw invalid(
      `${what} has the name ${JSON.stringify(name)}, must be of letters, digits and _-. in ASCII, and not begin with a dot`,
    );
  }
  return name;
}

function creationTimeOf(root: XmlElement): number {
  const text = childOf(root, 'creationTime')?.text;
  if (text === undefined) {
    throw invalid('the checkpoint has no <creationTime>, which libvirt needs to redefine it', {
      kind: 'add-creation-time',
    });
  }
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text)))
    throw invalid(`<creationTime> is ${JSON.stringify(text)}, must be a number of seconds since 1970`);
  return Number(text);
}

function disksOf(root: XmlElement, checkpointName: string): CheckpointDisk[] {
  const ofDomain = domainDisks(childOf(root, 'domain'));
  const disks = childrenOf(childOf(root, 'disks'), 'disk').map(({ attributes }): CheckpointDisk => {
    const { name, checkpoint = 'bitmap', bitmap = checkpointName } = attributes;
    if (name === undefined) throw invalid('a <disk> has no name');
    if (!isDiskName(name)) {
      throw invalid(
        `a <disk> has the name ${JSON.stringify(name)}, must be a target such as vda, or an absolute path`,
      );
    }
    if (checkpoint !== 'bitmap' && checkpoint !== 'no') {
      throw invalid(
        `disk ${name} has checkpoint=${JSON.stringify(checkpoint)}, must be "bitmap" or "no" in a checkpoint`,
      );
    }
    const isPath = name.startsWith('/');
    const known = ofDomain.find(({ target, source }) => name === (isPath ? source : target));
    const target = isPath ? known?.target : name;
    const source = isPath ? name : known?.source;
    return { name, checkpoint, bitmap, target, source, backing: known?.backing };
  });
  refuseTwice(disks, ({ name }) => name);
  refuseTwice(disks, ({ target }) => target);
  return disks;
}

function refuseTwice(
  disks: readonly CheckpointDisk[],
  keyOf: (disk: CheckpointDisk) => string | undefined,
): void {
  const seen = new Set<string>();
  for (const key of disks.flatMap((disk) => keyOf(disk) ?? [])) {
    if (seen.has(key)) throw invalid(`the disk ${key} occurs twice`);
    seen.add(key);
  }
}

type DomainDisk = Pick<CheckpointDisk, 'target' | 'source' | 'backing'>;

/** The disks of the domain at the time of the checkpoint. */
function domainDisks(domain: XmlElement | undefined): DomainDisk[] {
  return childrenOf(childOf(domain, 'devices'), 'disk').map((disk) => ({
    target: childOf(disk, 'target')?.attributes['dev'],
    source: pathOf(disk),
    backing: backingOf(disk),
  }));
}

function pathOf(element: XmlElement): string | undefined {
  const source = childOf(element, 'source')?.attributes;
  return source?.['file'] ?? source?.['dev'];
}

/** libvirt ends a complete chain with an empty <backingStore>. */
function backingOf(disk: XmlElement): (string | undefined)[] | undefined {
  const paths: (string | undefined)[] = [];
  for (
    let store = childOf(disk, 'backingStore');
    store !== undefined;
    store = childOf(store, 'backingStore')
  ) {
    if (store.children.length === 0) return paths;
    paths.push(pathOf(store));
  }
  return undefined;
}
