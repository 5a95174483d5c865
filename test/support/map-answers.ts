/** Compares two answers to "who holds which part of this disk?": ours and QEMU's. */
import { type Extent, normalised } from './extents.ts';
import type { MapExtent } from './qemu.ts';

/** What decides how much of an extent's flags QEMU 7.2 can judge. */
export interface JudgedLayer {
  format: 'qcow2' | 'raw';
  encrypted: boolean;
  /** Of an image that was made just now. */
  options?: { dataFile: string };
}

/** What an image itself holds, from QEMU's map of that image. */
export function ownAllocation(map: readonly MapExtent[]): Extent[] {
  return allocationAbove(map, 1);
}

/** What a guest sees of the layers above the one at `baseDepth`, from QEMU's map of the chain. */
export function allocationAbove(map: readonly MapExtent[], baseDepth: number): Extent[] {
  return normalised(map.filter(({ present, depth }) => present && depth < baseDepth));
}

/** One line per gap or overlap in an answer that should cover the disk from 0 to its end. */
export function coverageFaults(map: readonly Extent[], diskSize: number): string[] {
  const faults: string[] = [];
  let position = 0;
  for (const { start, length } of map) {
    if (start !== position) faults.push(`extent at ${start} where ${position} was due`);
    if (length <= 0) faults.push(`extent at ${start} is ${length} bytes long`);
    position = start + length;
  }
  if (position !== diskSize) faults.push(`ends at ${position}, the disk at ${diskSize}`);
  return faults;
}

/** Extents that could be one with the previous extent. */
export function unmergedExtents(map: readonly MapExtent[]): MapExtent[] {
  return map.filter((next, index) => {
    const last = map[index - 1];
    if (last === undefined) return false;
    const goesOn = last.offset === undefined || last.offset + last.length === next.offset;
    return goesOn && meaning(last) === meaning(next);
  });
}

function meaning({ depth, present, zero, data, compressed, offset }: MapExtent): string {
  return JSON.stringify({ depth, present, zero, data, compressed, isPlaced: offset !== undefined });
}

/**
 * One line per stretch of the disk and field in which the two answers differ; empty where they agree.
 *
 * How an answer is cut into extents plays no part: both are compared stretch by stretch. `layers` is the chain, top first.
 */
export function mapDisagreements(
  ours: readonly MapExtent[],
  qemus: readonly MapExtent[],
  layers: readonly JudgedLayer[],
): string[] {
  const lines: string[] = [];
  for (const { start, length, our, qemu } of stretches(ours, qemus)) {
    const faults = fieldFaults(start, our, qemu, layers);
    if (faults.length > 0) lines.push(`0x${start.toString(16)} +${length}: ${faults.join(', ')}`);
  }
  return lines;
}

interface Stretch extends Extent {
  our: MapExtent;
  qemu: MapExtent;
}

function* stretches(ours: readonly MapExtent[], qemus: readonly MapExtent[]): Generator<Stretch> {
  for (let i = 0, j = 0; i < ours.length && j < qemus.length; ) {
    const [our, qemu] = [ours[i]!, qemus[j]!];
    const start = Math.max(our.start, qemu.start);
    const [ourEnd, qemuEnd] = [our.start + our.length, qemu.start + qemu.length];
    const length = Math.min(ourEnd, qemuEnd) - start;
    if (length > 0) yield { start, length, our, qemu };
    if (ourEnd <= qemuEnd) i++;
    if (qemuEnd <= ourEnd) j++;
  }
}

function fieldFaults(
  start: number,
  our: MapExtent,
  qemu: MapExtent,
  layers: readonly JudgedLayer[],
): string[] {
  const faults: string[] = [];
  const expect = (field: keyof MapExtent, expected: unknown) => {
    if (our[field] !== expected) faults.push(`${field} is ${our[field]}, QEMU says ${expected}`);
  };
  expect('depth', qemu.depth);
  expect('present', qemu.present);
  const layer = layers[qemu.depth];
  // Where a raw file has holes is the file system's affair, and two looks at it need not agree.
  if (layer?.format === 'qcow2') {
    expect('data', qemu.data);
    // Where QEMU takes an image for preallocated, it looks for holes of the file under data. We do not look into
    // external data files, and committed images need not have the holes that they had.
    const holesAreKnown = layer.options?.dataFile === 'none';
    if (!(qemu.data && qemu.zero) || holesAreKnown) expect('zero', qemu.zero);
    expect('compressed', isCompressed(qemu, layer));
    // Data at a known place must be named; a merged extent has one offset, which is that of its start.
    const needsOffset = qemu.present && qemu.data && qemu.offset !== undefined;
    if (our.start === start && (needsOffset || our.offset !== undefined) && qemu.offset !== undefined) {
      expect('offset', qemu.offset + start - qemu.start);
    }
  }
  return faults;
}

/** QEMU before 8.2 has no key for it, but only compressed data has no offset in an image that is not encrypted. */
function isCompressed(qemu: MapExtent, layer: JudgedLayer): boolean {
  return qemu.compressed ?? (qemu.data && qemu.offset === undefined && !layer.encrypted);
}
