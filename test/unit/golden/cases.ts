/** The committed images with QEMU's own answers, one case for each folder. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DumpExtent, MapExtent } from '../../../src/index.ts';
import type { Extent } from '../../support/extents.ts';
import { coverageFaults, mapDisagreements } from '../../support/map-answers.ts';
import { scratchFolder } from '../../support/scratch.ts';

const fixtures = fileURLToPath(new URL('../../../fixtures', import.meta.url));

/** What `qemu-img info` says of one image of a chain. */
export interface ImageInfo {
  filename: string;
  format: string;
  'virtual-size': number;
  encrypted?: boolean;
  'backing-filename'?: string;
  'format-specific'?: {
    data: { bitmaps?: { name: string; granularity: number; flags: string[] }[]; corrupt?: boolean };
  };
}

export type StoredExtent = Pick<DumpExtent, 'offset' | 'length' | 'type'>;
/** By image, then by bitmap. */
export type BitmapAnswers = Record<string, Record<string, StoredExtent[]>>;

export interface GoldenCase {
  name: string;
  folder: string;
  /** File name of the top image. */
  top: string;
  map: Omit<MapExtent, 'compressed'>[];
  /** The chain, top first. */
  info: ImageInfo[];
  bitmaps: BitmapAnswers;
}

function readCase(folder: string, top: string, name: string): GoldenCase {
  const answer = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8'));
  return {
    name,
    folder,
    top,
    map: answer('map.json'),
    info: answer('info.json'),
    bitmaps: answer('bitmaps.json'),
  };
}

export const demo = readCase(join(fixtures, 'chain'), 'overlay.qcow2', 'chain');

export const expectedOfDemo: BitmapAnswers = JSON.parse(
  readFileSync(join(fixtures, 'chain', 'expected.json'), 'utf8'),
);

const images = join(fixtures, 'images');

export const cases: GoldenCase[] = [
  demo,
  ...readdirSync(images)
    .filter((name) => existsSync(join(images, name, 'map.json')))
    .sort()
    .map((name) => readCase(join(images, name), 'disk.qcow2', name)),
];

/** The case of that name, which must be there. */
export function caseNamed(name: string): GoldenCase {
  const found = cases.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no folder fixtures/images/${name}`);
  return found;
}

/** QEMU looks for some backing files in the current folder: those named with a protocol. */
export function needsCurrentFolder({ info }: GoldenCase): boolean {
  return info.some((image) => /^(json|file):/.test(image['backing-filename'] ?? ''));
}

/** File name of the image, of which QEMU may say more. */
export function fileName({ filename }: ImageInfo): string {
  if (!filename.startsWith('json:')) return filename;
  return JSON.parse(filename.slice('json:'.length)).file.filename;
}

export function imagePath({ folder, top }: GoldenCase): string {
  return join(folder, top);
}

/** What a map of the chain says otherwise than QEMU. */
export function mapFaults(map: readonly MapExtent[], golden: GoldenCase): string[] {
  // No block of the committed raw files is all zeros, so they can be judged as strictly as qcow2.
  const judged = golden.info.map(
    ({ encrypted }) => ({ format: 'qcow2', encrypted: encrypted === true }) as const,
  );
  return [
    ...coverageFaults(map, golden.info[0]!['virtual-size']),
    ...mapDisagreements(map, golden.map, judged),
  ];
}

export function dirty(extents: readonly StoredExtent[]): Extent[] {
  return extents.filter(({ type }) => type === 1).map(({ offset, length }) => ({ start: offset, length }));
}

/** Copies a case to where it may be written; returns the path of its top image. To be called inside a test. */
export async function writableCopy({ folder, top }: GoldenCase): Promise<string> {
  const copy = await scratchFolder();
  await cp(folder, copy, { recursive: true });
  return join(copy, top);
}
