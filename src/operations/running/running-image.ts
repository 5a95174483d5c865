/**
 * An image that a running QEMU has open: its node in QEMU, and the files of its chain, which are read too.
 */
import { type Chain, openChain } from '../../chain/chain.ts';
import type { Qcow2Layer } from '../../chain/layer.ts';
import { type ImageReference, parseReference } from '../../chain/reference.ts';
import { examineChainImage } from '../../checkpoint/chain/chain-images.ts';
import { RefusedError } from '../../errors.ts';
import { hostOffset } from '../../format/addresses.ts';
import type { BitmapDirectoryEntry } from '../../format/bitmap-directory.ts';
import type { Image } from '../../image/image.ts';
import { chainOfNode, type ImageNode, nodeOfFile, readBlockNodes } from '../../qemu/block-nodes.ts';
import { refuseBusyBitmaps } from '../../qemu/refuse-busy.ts';
import { openSession, type Session } from '../../qemu/session.ts';
import { fileIdentity } from '../../storage/file.ts';
import { requireQcow2 } from '../open-qcow2.ts';
import type { OperationOptions } from '../options.ts';
import type { RunningQemu } from './open-qemu.ts';

export interface RunningImage {
  readonly session: Session;
  /** The image and all images below it in QEMU's chain, top first. */
  readonly nodes: readonly ImageNode[];
  /** The files of these nodes. They are read despite QEMU's locks, which keep other programs from writing. */
  readonly chain: Chain;
  readonly image: Image;
  readonly path: string;
  /** QEMU's persistent bitmaps of the image, in the form of directory entries. */
  readonly present: readonly BitmapDirectoryEntry[];
}

/** Opens an image of a running QEMU, runs `work`, and removes its temporary objects from QEMU. */
export async function withRunningImage<T>(
  qemu: RunningQemu,
  imageName: string,
  options: OperationOptions,
  work: (image: RunningImage) => Promise<T>,
): Promise<T> {
  return withRunningImages(qemu, [imageName], options, ([image]) => work(image!));
}

/** The same with several images. */
export async function withRunningImages<T>(
  qemu: RunningQemu,
  imageNames: readonly string[],
  options: OperationOptions,
  work: (images: readonly RunningImage[], session: Session) => Promise<T>,
): Promise<T> {
  return withSession(qemu, async (session) => {
    const images: RunningImage[] = [];
    try {
      for (const name of imageNames) images.push(await openRunningImage(session, name, options));
      return await work(images, session);
    } finally {
      await Promise.all(images.map(({ chain }) => chain.close()));
    }
  });
}

async function withSession<T>(
  { qmp, place }: RunningQemu,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await openSession(qmp, place);
  let result: T;
  try {
    result = await work(session);
  } catch (error) {
    // The first error is the one to report.
    await session.close().catch(() => {});
    throw error;
  }
  await session.close();
  return result;
}

/**
 * @throws RefusedError when QEMU does not have it open, or it cannot hold bitmaps
 * @throws InUseError while one of its bitmaps is busy
 */
async function openRunningImage(
  session: Session,
  imageName: string,
  options: OperationOptions,
): Promise<RunningImage> {
  const { qmp } = session;
  const { path } = parseReference(imageName, undefined);
  const top = nodeOfFile(await readBlockNodes(qmp), qmp, path, await fileIdentity(path));
  const nodes = chainOfNode(top);
  refuseBusyBitmaps(qmp, nodes);
  const chain = await openChain(referenceTo(nodes, path), {
    mode: 'read',
    locking: options.noLock ? 'none' : 'share',
    bitmaps: 'lenient',
    onWarning: options.onWarning,
  });
  try {
    const { image } = requireBitmaps(requireQcow2(chain));
    await requireSameImages(chain, nodes);
    await compareWithNames(chain, nodes, options);
    return { session, nodes, chain, image, path, present: presentIn(top) };
  } catch (error) {
    await chain.close();
    throw error;
  }
}

/**
 * QEMU's persistent bitmaps of a node. Other bitmaps are lost when QEMU ends, so they belong to no
 * checkpoint.
 */
export function presentIn({ bitmaps }: ImageNode): BitmapDirectoryEntry[] {
  return bitmaps
    .filter(({ persistent }) => persistent)
    .map(({ name, granularity, recording, inconsistent }) => ({
      name,
      nameBytes: new TextEncoder().encode(name),
      granularityBits: Math.log2(granularity),
      auto: recording || inconsistent,
      inUse: inconsistent,
      tableOffset: hostOffset(0),
      tableEntryCount: 0,
    }));
}

/** QEMU's chain. The backing file names in the images are ignored. */
function referenceTo([node, ...below]: readonly ImageNode[], path?: string): ImageReference {
  const { driver, file } = node!;
  const own = path ?? file?.path;
  if (own === undefined) {
    throw new RefusedError(
      'UNSUPPORTED',
      `${node!.path}: QEMU has this image of the chain open, but not as the local file of that name`,
      { remedy: { kind: 'use-local-images' } },
    );
  }
  return { path: own, format: driver, backing: below.length === 0 ? null : referenceTo(below) };
}

function requireBitmaps(layer: Qcow2Layer): Qcow2Layer {
  // For a running guest, the dirty bit and the refcounts do not matter.
  if (layer.image.header.version === 3) return layer;
  throw new RefusedError(
    'UNSUPPORTED',
    `${layer.path}: a version 2 image (compat 0.10) cannot hold bitmaps`,
    {
      remedy: { kind: 'shut-down-to-upgrade', file: layer.path },
      context: { file: layer.path },
    },
  );
}

/**
 * The process of QEMU may be unknown. Then only the content shows that a name means another file here.
 *
 * @throws RefusedError when an image differs from what QEMU reports of it
 */
async function requireSameImages(chain: Chain, nodes: readonly ImageNode[]): Promise<void> {
  for (const [index, node] of nodes.entries()) {
    const layer = (await chain.layer(index))!;
    // QEMU changes the bitmaps of writable images in memory.
    if (!node.options.readOnly) continue;
    const namesHere = (await examineChainImage(layer)).present.map(({ name }) => name);
    const namesInQemu = presentIn(node).map(({ name }) => name);
    if (namesHere.toSorted().join('\0') === namesInQemu.toSorted().join('\0')) continue;
    throw new RefusedError(
      'UNSUPPORTED',
      `${layer.path}: QEMU has other bitmaps in the image that it has open under this name`,
      { remedy: { kind: 'use-local-images' }, context: { file: layer.path } },
    );
  }
}

/** Warns if the backing file names differ from QEMU's chain, since the next start uses these names. */
async function compareWithNames(
  chain: Chain,
  nodes: readonly ImageNode[],
  { onWarning }: OperationOptions,
): Promise<void> {
  for (let index = 0; index < nodes.length; index++) {
    const layer = await chain.layer(index);
    if (layer?.format !== 'qcow2') return;
    const { backing } = layer.image;
    const below = nodes[index + 1];
    const named =
      backing === undefined ? undefined : await identityOf(backing.name, backing.format, layer.path);
    if (named === below?.file?.identity) continue;
    const names =
      backing === undefined ? 'names no backing image' : `names the backing image ${backing.name}`;
    const has = below === undefined ? 'none' : below.path;
    onWarning?.(
      `${layer.path}: ${names}, but the running QEMU has ${has} below it; QEMU's chain counts here`,
    );
  }
}

async function identityOf(
  name: string,
  format: string | undefined,
  namedBy: string,
): Promise<string | undefined> {
  try {
    return await fileIdentity(parseReference(name, format, namedBy).path);
  } catch {
    return undefined;
  }
}

/** The node as it is now. */
export async function currentNode({ qmp }: Session, { nodeName }: ImageNode): Promise<ImageNode> {
  return (await readBlockNodes(qmp)).images.find((node) => node.nodeName === nodeName)!;
}
