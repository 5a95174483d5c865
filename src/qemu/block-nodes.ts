/**
 * The block nodes of a QEMU: the backing image of each image, and QEMU's bitmaps in each image.
 */
import { isAbsolute } from 'node:path';
import { RefusedError } from '../errors.ts';
import { fileIdentity } from '../storage/file.ts';
import { pathIn } from '../storage/path.ts';
import { filesOfQemu } from './open-files.ts';
import { executeOrRefuse, type Qmp } from './qmp.ts';

/** A bitmap, from BlockDirtyInfo. Sizes are in bytes. */
export interface QemuBitmap {
  readonly name: string;
  readonly granularity: number;
  readonly dirtyBytes: number;
  /** It records writes. libvirt calls it enabled. */
  readonly recording: boolean;
  readonly persistent: boolean;
  /** A job or an export uses it. */
  readonly busy: boolean;
  /** It was in-use in the image when QEMU opened the image, so its content is not valid. */
  readonly inconsistent: boolean;
}

/** The options of a node that QEMU reports. A reopened node must have the same options afterwards. */
interface NodeOptions {
  readonly readOnly: boolean;
  readonly cacheDirect: boolean;
  readonly cacheNoFlush: boolean;
  readonly cacheWriteback: boolean;
  readonly detectZeroes: string;
  /** The throttle limits (iops and bytes per second), joined into one string. */
  readonly throttle: string;
}

/** A format node, with its file node. */
export interface ImageNode {
  readonly nodeName: string;
  /** The format driver. */
  readonly driver: string;
  readonly virtualSizeBytes: number;
  /** undefined if the format has no clusters. */
  readonly clusterSizeBytes: number | undefined;
  readonly bitmaps: readonly QemuBitmap[];
  readonly options: NodeOptions;
  /** undefined if it is not a local file: nbd, rbd, …, or if its name means another file here. */
  readonly file: FileNode | undefined;
  /** The name of the image in messages: its path, or QEMU's name of the file. */
  readonly path: string;
  readonly backing: ImageNode | undefined;
  /** The node directly below: the backing image, or a filter above it. */
  readonly backingChild: string | undefined;
  /** Nodes that have it as their backing image. */
  readonly overlays: readonly string[];
}

interface FileNode {
  readonly nodeName: string;
  readonly driver: string;
  readonly path: string;
  /** Device and inode. */
  readonly identity: string;
  readonly options: NodeOptions;
}

/** The fields of BlockDeviceInfo that are used here. */
interface NodeInfo {
  readonly 'node-name': string;
  readonly drv: string;
  readonly ro: boolean;
  readonly file: string;
  readonly detect_zeroes: string;
  readonly cache: { readonly direct: boolean; readonly 'no-flush': boolean; readonly writeback: boolean };
  readonly image: { readonly 'virtual-size': number; readonly 'cluster-size'?: number };
  readonly 'dirty-bitmaps'?: readonly BitmapInfo[];
  readonly iops: number;
  readonly iops_rd: number;
  readonly iops_wr: number;
  readonly bps: number;
  readonly bps_rd: number;
  readonly bps_wr: number;
}

interface BitmapInfo {
  readonly name?: string;
  readonly granularity: number;
  readonly count: number;
  readonly recording: boolean;
  readonly persistent: boolean;
  readonly busy: boolean;
  readonly inconsistent?: boolean;
}

interface BlockGraph {
  readonly nodes: readonly { readonly id: number; readonly name: string; readonly type: string }[];
  readonly edges: readonly { readonly parent: number; readonly child: number; readonly name: string }[];
}

/** Filter drivers: they pass on the data of the node below (QEMU's `is_filter`). */
const FILTERS = new Set([
  'backup-top',
  'blkdebug',
  'blklogwrites',
  'blkreplay',
  'blkverify',
  'commit_top',
  'compress',
  'copy-before-write',
  'copy-on-read',
  'mirror_top',
  'preallocate',
  'snapshot-access',
  'throttle',
]);
const PROTOCOLS_OF_FILES = new Set(['file', 'host_device']);

export interface BlockNodes {
  /** Every format node. */
  readonly images: readonly ImageNode[];
  /** The names of all nodes, of any kind. */
  readonly names: ReadonlySet<string>;
}

/**
 * Asks QEMU for all of its nodes.
 *
 * @throws RefusedError when QEMU is too old
 */
export async function readBlockNodes(qmp: Qmp): Promise<BlockNodes> {
  const infos = await qmp.execute<NodeInfo[]>('query-named-block-nodes', { flat: true });
  const graph = await executeOrRefuse<BlockGraph>(qmp, 'x-debug-query-block-graph', undefined, '6.1');
  const infoOf = new Map(infos.map((info) => [info['node-name'], info]));
  const nodeIds = new Map(
    graph.nodes.filter(({ type }) => type === 'block-driver').map(({ id, name }) => [id, name]),
  );
  const childOf = new Map<string, Map<string, string>>();
  const overlaysOf = new Map<string, string[]>();
  for (const { parent, child, name } of graph.edges) {
    const childName = nodeIds.get(child);
    const parentName = nodeIds.get(parent);
    if (childName === undefined || parentName === undefined) continue;
    if (name === 'backing') overlaysOf.set(childName, [...(overlaysOf.get(childName) ?? []), parentName]);
    const children = childOf.get(parentName) ?? new Map<string, string>();
    childOf.set(parentName, children.set(name, childName));
  }

  const images = new Map<string, ImageNode>();
  const files = new Map<string, { path: string; identity: string }>();
  const open = await filesOfQemu(qmp.processId);
  for (const { 'node-name': name, drv, file } of infos) {
    if (!PROTOCOLS_OF_FILES.has(drv)) continue;
    const path = resolvePath(qmp, file);
    const identity = path && (await fileIdentity(path).catch(() => undefined));
    if (path === undefined || identity === undefined || open?.has(identity) === false) continue;
    files.set(name, { path, identity });
  }
  for (const info of infos) if (isImage(info)) imageNode(info);
  return { images: [...images.values()], names: new Set(infoOf.keys()) };

  function isImage({ 'node-name': name, drv }: NodeInfo): boolean {
    return !PROTOCOLS_OF_FILES.has(drv) && !FILTERS.has(drv) && childOf.get(name)?.has('file') === true;
  }

  function imageNode(info: NodeInfo): ImageNode {
    const name = info['node-name'];
    const known = images.get(name);
    if (known !== undefined) return known;
    const file = fileNode(childOf.get(name)?.get('file'));
    const node: ImageNode = {
      nodeName: name,
      driver: info.drv,
      virtualSizeBytes: info.image['virtual-size'],
      clusterSizeBytes: info.image['cluster-size'],
      bitmaps: (info['dirty-bitmaps'] ?? []).flatMap(bitmapOf),
      options: optionsOf(info),
      file,
      path: file?.path ?? info.file,
      backing: backingOf(name),
      backingChild: childOf.get(name)?.get('backing'),
      overlays: (overlaysOf.get(name) ?? []).toSorted(),
    };
    images.set(name, node);
    return node;
  }

  function fileNode(name: string | undefined): FileNode | undefined {
    const info = name === undefined ? undefined : infoOf.get(name);
    const file = name === undefined ? undefined : files.get(name);
    if (info === undefined || file === undefined) return undefined;
    return { nodeName: info['node-name'], driver: info.drv, ...file, options: optionsOf(info) };
  }

  /** A user or a job may have put filters between an image and its backing image. */
  function backingOf(name: string): ImageNode | undefined {
    let below = childOf.get(name)?.get('backing');
    while (below !== undefined) {
      const info = infoOf.get(below);
      if (info === undefined) return undefined;
      if (isImage(info)) return imageNode(info);
      const children = childOf.get(below);
      below = children?.get('file') ?? children?.get('backing');
    }
    return undefined;
  }
}

function resolvePath({ folder }: Qmp, file: string): string | undefined {
  if (isAbsolute(file)) return file;
  return folder === undefined ? undefined : pathIn(folder, file);
}

function bitmapOf(info: BitmapInfo): QemuBitmap[] {
  const { name, granularity, count, recording, persistent, busy, inconsistent = false } = info;
  // QEMU's internal bitmaps have no name.
  if (name === undefined || name === '') return [];
  return [{ name, granularity, dirtyBytes: count, recording, persistent, busy, inconsistent }];
}

function optionsOf(info: NodeInfo): NodeOptions {
  const { ro, cache, detect_zeroes, iops, iops_rd, iops_wr, bps, bps_rd, bps_wr } = info;
  return {
    readOnly: ro,
    cacheDirect: cache.direct,
    cacheNoFlush: cache['no-flush'],
    cacheWriteback: cache.writeback,
    detectZeroes: detect_zeroes,
    throttle: [iops, iops_rd, iops_wr, bps, bps_rd, bps_wr].join(),
  };
}

/**
 * The node of an image. Files are compared by identity, so the spelling of the path does not matter.
 *
 * @throws RefusedError when QEMU does not have it open
 */
export function nodeOfFile({ images }: BlockNodes, qmp: Qmp, path: string, identity: string): ImageNode {
  const found = images.filter(({ file }) => file?.identity === identity);
  const writable = found.filter(({ options }) => !options.readOnly);
  const candidates = writable.length > 0 ? writable : found;
  const [node] = candidates;
  if (node === undefined) {
    const open = images.flatMap(({ file }) => file?.path ?? []);
    throw new RefusedError('UNSUPPORTED', `${path}: ${qmp.name} does not have this image open`, {
      remedy: { kind: 'name-open-image', images: open },
      context: { file: path },
    });
  }
  return node;
}

/** The image and all images below it in QEMU's chain, top first. */
export function chainOfNode(top: ImageNode): ImageNode[] {
  const chain: ImageNode[] = [];
  for (let node: ImageNode | undefined = top; node !== undefined; node = node.backing) chain.push(node);
  return chain;
}
