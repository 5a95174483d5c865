/** The committed images as starting points of the fuzzer, held in memory. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Landmarks, landmarksOf } from './landmarks.ts';

export interface Sample {
  readonly name: string;
  /** Every file that its chain needs, by name. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** Names of the qcow2 images among them, the top first. */
  readonly images: readonly string[];
  /** Of the image to be broken. */
  readonly landmarks: ReadonlyMap<string, Landmarks>;
  /** Bitmaps by image. */
  readonly bitmaps: Readonly<Record<string, Record<string, unknown>>>;
  readonly isEncrypted: boolean;
}

/** Larger ones would fill the time with copying. */
const MOST_BYTES = 1024 * 1024;

/** @param folder `fixtures/images` */
export function loadSamples(folder: string): Sample[] {
  return readdirSync(folder)
    .map((name) => load(join(folder, name), name))
    .filter((sample) => sample !== undefined);
}

function load(folder: string, name: string): Sample | undefined {
  const names = readdirSync(folder).filter((file) => !file.endsWith('.json'));
  if (names.some((file) => statSync(join(folder, file)).size > MOST_BYTES)) return undefined;
  const files = new Map(names.map((file) => [file, readFileSync(join(folder, file))]));
  const images = ['disk.qcow2', ...names.filter((file) => file.endsWith('.qcow2') && file !== 'disk.qcow2')];
  return {
    name,
    files,
    images,
    landmarks: new Map(images.map((image) => [image, landmarksOf(files.get(image)!)])),
    bitmaps: JSON.parse(readFileSync(join(folder, 'bitmaps.json'), 'utf8')),
    isEncrypted: files.get('disk.qcow2')!.readUInt32BE(32) !== 0,
  };
}
