/**
 * The options with which QEMU has images open, where they are certain. QEMU does not report them, and
 * `blockdev-reopen` resets options that are not given again.
 */
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { fileIdentity } from '../storage/file.ts';
import { type ImageNode, readBlockNodes } from './block-nodes.ts';
import { type BlockdevOptions, blockdevOptions } from './blockdev-options.ts';
import type { Qmp } from './qmp.ts';

/** The options of the two nodes of an image. */
export interface ImageOptions {
  readonly format: BlockdevOptions;
  readonly file: BlockdevOptions;
}

/** @returns for each image its options, or undefined if they are not certain */
export async function readKnownOptions(
  qmp: Qmp,
  nodes: readonly ImageNode[],
): Promise<(node: ImageNode) => ImageOptions | undefined> {
  const start = await readStartOptions(qmp.processId);
  const atStart = (node: ImageNode) => optionsAtStart(start, node);
  if (nodes.every((node) => atStart(node) !== undefined)) return atStart;
  const current = await readCurrentOptions(qmp);
  const { images } = await readBlockNodes(qmp);
  // libvirt makes all options by the same rules. An image that has both shows that the rules are still those
  // by which QEMU was started.
  const pairs = images.flatMap((node) => {
    const [one, other] = [atStart(node), current(node)];
    return one === undefined || other === undefined ? [] : [[one, other] as const];
  });
  const isCertain = pairs.length > 0 && pairs.every(([one, other]) => isSameForAnyPlace(one, other));
  return (node) => atStart(node) ?? (isCertain ? current(node) : undefined);
}

async function readStartOptions(processId: number | undefined): Promise<Map<string, BlockdevOptions>> {
  if (processId === undefined) return new Map();
  const commandLine = await readFile(`/proc/${processId}/cmdline`, 'utf8').catch(() => '');
  return blockdevOptions(commandLine.split('\0'));
}

function optionsAtStart(
  options: ReadonlyMap<string, BlockdevOptions>,
  { nodeName, file }: ImageNode,
): ImageOptions | undefined {
  const [ofFormat, ofFile] = [options.get(nodeName), file && options.get(file.nodeName)];
  if (ofFormat === undefined || ofFile === undefined || ofFormat['file'] !== file?.nodeName) return undefined;
  return { format: ofFormat, file: ofFile };
}

/**
 * The options that libvirt would give to the images if it started the guest as it is now. The node names
 * would differ, so an image is found by its file.
 */
async function readCurrentOptions(qmp: Qmp): Promise<(node: ImageNode) => ImageOptions | undefined> {
  const options = blockdevOptions((await qmp.currentCommandLine?.()) ?? []);
  const found = new Map<string, ImageOptions[]>();
  for (const format of options.values()) {
    const file = options.get(String(format['file']));
    const path = file?.['filename'];
    const identity = typeof path === 'string' ? await fileIdentity(path).catch(() => undefined) : undefined;
    if (file === undefined || identity === undefined) continue;
    found.set(identity, [...(found.get(identity) ?? []), { format, file }]);
  }
  return ({ nodeName, file, options: { detectZeroes } }) => {
    const [one, ...others] = found.get(file?.identity ?? '') ?? [];
    // Two disks may share an image, with other options for each.
    if (one === undefined || file === undefined || others.length > 0) return undefined;
    return {
      // libvirt sets detect-zeroes for the active image only, and does not change it at a snapshot.
      format: { ...one.format, 'node-name': nodeName, file: file.nodeName, 'detect-zeroes': detectZeroes },
      file: { ...one.file, 'node-name': file.nodeName },
    };
  };
}

/** Compares without the options that depend on the place in the chain, and without names. */
function isSameForAnyPlace(one: ImageOptions, other: ImageOptions): boolean {
  const ofPlace = new Set(['read-only', 'backing', 'detect-zeroes', 'filename']);
  const rest = ({ format, file }: ImageOptions) =>
    [format, file].map((options) =>
      Object.fromEntries(Object.entries(options).filter(([name]) => !ofPlace.has(name))),
    );
  return isDeepStrictEqual(rest(one), rest(other));
}
