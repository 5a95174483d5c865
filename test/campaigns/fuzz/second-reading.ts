/** Compares QEMU's reading of a broken image with this tool's reading. */
import { disagreements, type Extent } from '../../support/extents.ts';
import { mapDisagreements } from '../../support/map-answers.ts';
import type { MapExtent } from '../../support/qemu.ts';
import { dirtyExtents } from '../../support/qemu-bitmap.ts';
import { ask } from './judge.ts';
import { type Outcome, runHere } from './program.ts';
import type { Sample } from './samples.ts';

export interface Reading {
  readonly disagreements: readonly string[];
  /** What this tool refuses although QEMU reads it: allowed where the image is broken, and worth a look. */
  readonly stricter: readonly string[];
}

const AGREED: Reading = { disagreements: [], stricter: [] };

/** Reads list, map and one bitmap. */
export async function secondReading(image: string, sample: Sample): Promise<Reading> {
  const list = await runHere(['list', '--json', image]);
  const map = await runHere(['map', '--json', image]);
  const readings = [compareList(image, list), compareMap(image, map, sample.isEncrypted)];
  if (list.exitCode === 0) readings.push(await compareContent(image, list));
  return {
    disagreements: readings.flatMap((reading) => reading.disagreements),
    stricter: readings.flatMap((reading) => reading.stricter),
  };
}

interface ListedBitmap {
  readonly name: string;
  readonly granularity: number;
  readonly flags: readonly string[];
}

function compareList(path: string, outcome: Outcome): Reading {
  const { status, stdout, stderr } = ask('qemu-img', 'info', '-f', 'qcow2', '--output=json', path);
  if (status === undefined) return AGREED;
  if (status !== 0) {
    return outcome.exitCode === 0 && /bitmap/i.test(stderr)
      ? { ...AGREED, disagreements: [`QEMU refuses it for its bitmaps: ${stderr}`] }
      : AGREED;
  }
  if (outcome.exitCode !== 0) return stricter(outcome);
  const theirs: readonly ListedBitmap[] = JSON.parse(stdout)['format-specific']?.data?.bitmaps ?? [];
  const ours: readonly ListedBitmap[] = JSON.parse(outcome.stdout).bitmaps;
  const [our, their] = [ours, theirs].map((list) => list.map(lineOf).join('; '));
  return our === their ? AGREED : { ...AGREED, disagreements: [`bitmaps: ${our}, QEMU says ${their}`] };
}

/** Names that are not UTF-8 have no one form in JSON. */
function lineOf({ name, granularity, flags }: ListedBitmap): string {
  return `${isPlain(name) ? name : '(other)'} ${granularity} ${[...flags].sort().join()}`;
}

function isPlain(name: string): boolean {
  return /^[ -~]*$/.test(name) && !name.includes('\\');
}

function compareMap(path: string, outcome: Outcome, isEncrypted: boolean): Reading {
  const { status, stdout } = ask('qemu-img', 'map', '-f', 'qcow2', '--output=json', path);
  if (status !== 0) return AGREED;
  if (outcome.exitCode !== 0) return stricter(outcome);
  const theirs: MapExtent[] = JSON.parse(stdout);
  const ours: MapExtent[] = JSON.parse(outcome.stdout);
  const depths = Math.max(0, ...theirs.map(({ depth }) => depth)) + 1;
  const layers = Array.from({ length: depths }, () => ({ format: 'qcow2', encrypted: isEncrypted }) as const);
  return { ...AGREED, disagreements: mapDisagreements(ours, theirs, layers).slice(0, 3) };
}

/** The first bitmap that a backup program could ask for, byte for byte. */
async function compareContent(path: string, list: Outcome): Promise<Reading> {
  const bitmaps: readonly ListedBitmap[] = JSON.parse(list.stdout).bitmaps;
  const bitmap = bitmaps.find(({ name, flags }) => /^[\w-]+$/.test(name) && !flags.includes('in-use'));
  if (bitmap === undefined) return AGREED;
  const theirs = await dirtyExtents(path, bitmap.name).catch(() => undefined);
  if (theirs === undefined) return AGREED;
  const outcome = await runHere(['dump', '--json', path, bitmap.name]);
  if (outcome.exitCode !== 0) return stricter(outcome);
  const ours: typeof theirs = JSON.parse(outcome.stdout);
  const [our, their] = [ours, theirs].map((extents) =>
    extents.filter(({ type }) => type === 1).map(({ offset: start, length }): Extent => ({ start, length })),
  ) as [Extent[], Extent[]];
  return {
    ...AGREED,
    disagreements: disagreements(our, their)
      .slice(0, 3)
      .map((line) => `bitmap "${bitmap.name}": ${line}`),
  };
}

function stricter({ stderr }: Outcome): Reading {
  const { code, message } = JSON.parse(stderr.trim().split('\n').at(-1) ?? '{}').error ?? {};
  const text = String(message ?? '').replace(/^[^:]*: /, '');
  return { ...AGREED, stricter: [`${code}: ${text.replace(/0x[0-9a-f]+|\d+/g, 'N')}`] };
}
