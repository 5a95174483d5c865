/** QEMU's tools as functions. Their answers are the expected values of the differential tests. */
import { runProgram, tryProgram } from './external-program.ts';

/** What QEMU's tools take as an image: a path, or a `json:{…}` name. */
export type ImageName = string;

export interface MapExtent {
  start: number;
  length: number;
  depth: number;
  present: boolean;
  zero: boolean;
  data: boolean;
  /** Since QEMU 8.2. */
  compressed?: boolean;
  offset?: number;
}

export interface BitmapInfo {
  name: string;
  granularity: number;
  flags: string[];
}

export interface SnapshotInfo {
  id: string;
  name: string;
}

export interface ImageInfo {
  format: string;
  'virtual-size': number;
  'cluster-size'?: number;
  'backing-filename'?: string;
  'full-backing-filename'?: string;
  snapshots?: SnapshotInfo[];
  'format-specific'?: { type: string; data: { compat?: string; bitmaps?: BitmapInfo[] } };
}

export interface CheckResult {
  exitCode: number;
  errors: number;
  leaks: number;
  corruptions: number;
  compressedClusters: number;
}

interface CheckAnswer {
  'check-errors': number;
  leaks?: number;
  corruptions?: number;
  'compressed-clusters'?: number;
}

const encryptionKeyId = 'test-key';
const secretArgs = ['--object', `secret,id=${encryptionKeyId},data=open sesame`];

/** Creation options that encrypt an image with the key which all functions of this file know. */
export function encryptionOptions(format: 'luks' | 'aes'): string[] {
  const options = [`encrypt.format=${format}`, `encrypt.key-secret=${encryptionKeyId}`];
  return format === 'luks' ? [...options, 'encrypt.iter-time=10'] : options;
}

export interface LayerToOpen {
  path: string;
  format: 'qcow2' | 'raw';
  encrypted?: boolean;
  backing?: LayerToOpen;
}

/** The name for QEMU to open a layer: its path, or a `json:` name if a layer of the chain needs the key. */
export function imageName(layer: LayerToOpen): ImageName {
  return needsKey(layer) ? `json:${JSON.stringify(blockOptions(layer, true))}` : layer.path;
}

/** The name for commands that open no backing images and therefore want no options for them. */
export function ownImageName({ path, format, encrypted }: LayerToOpen): ImageName {
  return imageName({ path, format, ...(encrypted && { encrypted }) });
}

/** The name of a raw file whose content must not be probed. */
export function rawImageName(path: string): ImageName {
  return `json:${JSON.stringify({ driver: 'raw', file: { driver: 'file', filename: path } })}`;
}

function needsKey(layer: LayerToOpen | undefined): boolean {
  return layer !== undefined && (layer.encrypted === true || needsKey(layer.backing));
}

/** Names the file of the opened layer only: those of its backing layers are the images' own affair. */
function blockOptions(layer: LayerToOpen, withFile: boolean): object {
  return {
    driver: layer.format,
    ...(withFile && { file: { driver: 'file', filename: layer.path } }),
    ...(layer.encrypted && { encrypt: { 'key-secret': encryptionKeyId } }),
    ...(layer.backing && needsKey(layer.backing) && { backing: blockOptions(layer.backing, false) }),
  };
}

/** The arguments that bring the key, for commands which mention it. */
export function keyFor(args: readonly string[]): string[] {
  return args.some((arg) => arg.includes(encryptionKeyId)) ? secretArgs : [];
}

/** `qemu-img command args…`, which must succeed; returns its stdout. */
export async function qemuImg(command: string, ...args: string[]): Promise<string> {
  return await runProgram('qemu-img', [command, ...keyFor(args), ...args]);
}

/** Runs `qemu-io` commands, all in one process and in order, on an image opened read-write. */
export async function qemuIo(image: ImageName, ...commands: string[]): Promise<string> {
  const args = commands.flatMap((command) => ['-c', command]);
  const output = await runProgram('qemu-io', [...keyFor([image]), ...args, image]);
  const failure = output.split('\n').find((line) => line.includes('failed'));
  if (failure !== undefined) throw new Error(`qemu-io ${image}: ${failure}\n${commands.join('\n')}`);
  return output;
}

export async function qemuMap(image: ImageName): Promise<MapExtent[]> {
  return JSON.parse(await qemuImg('map', '--output=json', image));
}

/** From the header alone, which needs no key. */
export async function qemuInfo(image: ImageName): Promise<ImageInfo> {
  return JSON.parse(await qemuImg('info', '--output=json', pathOf(image)));
}

function pathOf(image: ImageName): string {
  if (!image.startsWith('json:')) return image;
  const { file }: { file: { filename: string } } = JSON.parse(image.slice('json:'.length));
  return file.filename;
}

/** The persistent bitmaps that an image itself stores, as `qemu-img info` lists them. */
export async function qemuBitmaps(image: ImageName): Promise<BitmapInfo[]> {
  return (await qemuInfo(image))['format-specific']?.data.bitmaps ?? [];
}

export async function qemuCheck(image: ImageName): Promise<CheckResult> {
  const args = ['check', '--output=json', ...keyFor([image]), image];
  const { exitCode, stdout, stderr } = await tryProgram('qemu-img', args);
  if (stdout === '') throw new Error(`qemu-img ${args.join(' ')}: exit code ${exitCode}\n${stderr}`);
  const answer: CheckAnswer = JSON.parse(stdout);
  return {
    exitCode,
    errors: answer['check-errors'],
    leaks: answer.leaks ?? 0,
    corruptions: answer.corruptions ?? 0,
    compressedClusters: answer['compressed-clusters'] ?? 0,
  };
}

/** Whether the guest-visible contents are identical; `difference` says where they are not. */
export async function compareImages(
  a: ImageName,
  b: ImageName,
): Promise<{ identical: boolean; difference: string }> {
  const args = ['compare', ...keyFor([a, b]), a, b];
  const { exitCode, stdout, stderr } = await tryProgram('qemu-img', args);
  if (exitCode > 1) throw new Error(`qemu-img ${args.join(' ')}: exit code ${exitCode}\n${stderr}`);
  return { identical: exitCode === 0, difference: exitCode === 0 ? '' : stdout };
}
