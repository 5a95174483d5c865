/**
 * Reads checkpoints from XML files, and from folders of XML files such as those of virtnbdbackup.
 */
import { promises as fs } from 'node:fs';
import { RefusedError } from '../../errors.ts';
import { naming } from '../../image/image.ts';
import type { OnWarning } from '../../remedy.ts';
import { openFile } from '../../storage/file.ts';
import { pathIn } from '../../storage/path.ts';
import { readBytes } from '../../storage/storage.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { invalid } from './invalid-checkpoint.ts';
import { orderCheckpoints } from './order-checkpoints.ts';

export interface StoredCheckpoint extends Checkpoint {
  /** Where it was read from. */
  readonly file: string;
}

/** A checkpoint that does not come from a file. */
export interface CheckpointXml {
  /** Its name in messages. */
  readonly origin: string;
  readonly xml: string;
}

export interface ReadCheckpointsOptions {
  readonly onWarning?: OnWarning | undefined;
}

/** Far more than the XML of a domain with hundreds of disks. */
const MAX_FILE_BYTES = 4 * 2 ** 20;

/**
 * Reads XML files, and every `*.xml` in folders.
 *
 * @param documents take precedence over files that describe a checkpoint of the same name
 * @returns parents first, then by time
 * @throws RefusedError when one of them does not describe a checkpoint, or they contradict each other
 * @throws FailedError when one cannot be read
 */
export async function readCheckpoints(
  paths: readonly string[],
  { onWarning }: ReadCheckpointsOptions = {},
  documents: readonly CheckpointXml[] = [],
): Promise<StoredCheckpoint[]> {
  const read = new Map<string, StoredCheckpoint>();
  for (const document of documents) {
    const checkpoint = await parseDocument(document);
    read.set(checkpoint.name, checkpoint);
  }
  const documented = new Set(read.keys());
  const identities = new Set<string>();
  for (const path of (await Promise.all(paths.map(filesOf))).flat()) {
    const { checkpoint, identity } = await readCheckpoint(path);
    // A file and its folder may both be named.
    if (identities.has(identity)) continue;
    identities.add(identity);
    if (documented.has(checkpoint.name)) continue;
    const other = read.get(checkpoint.name);
    if (other !== undefined) throw twice(checkpoint, other);
    read.set(checkpoint.name, checkpoint);
    for (const { name, checkpoint: mode, bitmap } of checkpoint.disks) {
      if (mode === 'no' || bitmap === checkpoint.name) continue;
      onWarning?.(
        `${path}: disk ${name} has the bitmap "${bitmap}", but libvirt backs up and validates by the name of the checkpoint, "${checkpoint.name}"; only deleting the checkpoint takes the other`,
      );
    }
  }
  return orderCheckpoints([...read.values()]);
}

async function parseDocument({ origin, xml }: CheckpointXml): Promise<StoredCheckpoint> {
  const { parseCheckpoint } = await import('./parse-checkpoint.ts');
  return { ...naming({ name: origin }, () => parseCheckpoint(xml)), file: origin };
}

async function filesOf(path: string): Promise<string[]> {
  const isFolder = await fs.stat(path).then(
    (found) => found.isDirectory(),
    // Opening it reports the error.
    () => false,
  );
  if (!isFolder) return [path];
  const entries = await fs.readdir(path, { withFileTypes: true });
  const files = entries.filter((entry) => entry.name.endsWith('.xml') && !entry.isDirectory());
  if (files.length > 0) return files.map(({ name }) => pathIn(path, name)).sort();
  const inner = entries.find((entry) => entry.name === 'checkpoints' && entry.isDirectory());
  throw new RefusedError('INVALID_CHECKPOINT', `${path}: no file of this folder ends in .xml`, {
    remedy: {
      kind: 'name-checkpoint-folder',
      folder: inner === undefined ? undefined : pathIn(path, inner.name),
    },
    context: { file: path },
  });
}

async function readCheckpoint(path: string): Promise<{ checkpoint: StoredCheckpoint; identity: string }> {
  // The parser is large, and most commands read no XML.
  const { parseCheckpoint } = await import('./parse-checkpoint.ts');
  const storage = await openFile(path, 'read', async () => {});
  try {
    const bytes = await readBytes(storage, 0, Math.min(storage.sizeBytes, MAX_FILE_BYTES));
    const checkpoint = naming(storage, () => {
      if (bytes.length < storage.sizeBytes)
        throw invalid(`${storage.sizeBytes} bytes, the XML of a checkpoint has at most ${MAX_FILE_BYTES}`);
      return parseCheckpoint(decode(bytes));
    });
    return { checkpoint: { ...checkpoint, file: path }, identity: storage.identity };
  } finally {
    await storage.close();
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalid('no text in UTF-8');
  }
}

function twice({ name, file }: StoredCheckpoint, other: StoredCheckpoint): RefusedError {
  return new RefusedError(
    'INVALID_CHECKPOINT',
    `${file}: describes checkpoint "${name}", and so does ${other.file}`,
    { remedy: { kind: 'name-one-file' }, context: { file, checkpoint: name } },
  );
}
