/** Maps of the committed images, compared with `qemu-img map`. */
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { type MapExtent, mapAllocation } from '../../src/index.ts';
import { normalised } from '../support/extents.ts';
import { coverageFaults, mapDisagreements, ownAllocation } from '../support/map-answers.ts';
import { caseNamed, cases, type GoldenCase, imagePath, needsCurrentFolder } from '../unit/golden/cases.ts';

const program = fileURLToPath(new URL('../../bin/bitmap-tool.js', import.meta.url));

/** Our map. A test thread has no current folder, so a process makes the map if the folder matters. */
async function mapOf(golden: GoldenCase, options: { layer?: boolean } = {}): Promise<MapExtent[]> {
  if (needsCurrentFolder(golden) && !options.layer) {
    const { stdout } = await execa(process.execPath, [program, 'map', '--json', golden.top], {
      cwd: golden.folder,
    });
    return JSON.parse(stdout);
  }
  const extents: MapExtent[] = [];
  for await (const batch of mapAllocation(imagePath(golden), options)) extents.push(...batch);
  return extents;
}

/** No block of the committed raw files is all zeros, so they can be judged as strictly as qcow2. */
const judged = ({ info }: GoldenCase) =>
  info.map(({ encrypted }) => ({ format: 'qcow2', encrypted: encrypted === true }) as const);

test('the fixtures contain images to compare', () => {
  expect(cases.length).toBeGreaterThan(40);
});

describe.each(cases)('$name', (golden) => {
  const diskSize = golden.info[0]!['virtual-size'];

  test("the map of the chain is the same as QEMU's", async () => {
    const map = await mapOf(golden);
    expect(coverageFaults(map, diskSize)).toEqual([]);
    expect(mapDisagreements(map, golden.map, judged(golden))).toEqual([]);
  });

  test('the map of the top image alone shows what QEMU shows at depth 0, and opens no backing image', async () => {
    const map = await mapOf(golden, { layer: true });
    expect(coverageFaults(map, diskSize)).toEqual([]);
    expect(ownAllocation(map)).toEqual(ownAllocation(golden.map));
    expect(map.every(({ depth }) => depth === 0)).toBe(true);
  });

  test('adjacent extents that could be one extent are merged', async () => {
    const map = await mapOf(golden);
    const alike = ({ depth, present, zero, data, compressed, offset }: MapExtent) =>
      JSON.stringify({ depth, present, zero, data, compressed, placed: offset !== undefined });
    for (const [index, next] of map.slice(1).entries()) {
      const last = map[index]!;
      const goesOn = last.offset === undefined || last.offset + last.length === next.offset;
      expect(alike(last) === alike(next) && goesOn, `extent ${index + 1}`).toBe(false);
    }
  });
});

test('map --layer does not report zeros if the layer holds nothing and has a backing image', async () => {
  const map = await mapOf(caseNamed('chain-of-three'), { layer: true });
  expect(normalised(map.filter(({ zero }) => zero))).toEqual([{ start: 98304, length: 4096 }]);
});
