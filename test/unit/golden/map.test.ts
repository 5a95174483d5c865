/** Maps of the committed images, compared with `qemu-img map`. */
import { describe, expect, test } from 'vitest';
import { type MapExtent, mapAllocation } from '../../../src/index.ts';
import { normalised } from '../../support/extents.ts';
import { coverageFaults, ownAllocation, unmergedExtents } from '../../support/map-answers.ts';
import { caseNamed, cases, type GoldenCase, imagePath, mapFaults, needsCurrentFolder } from './cases.ts';

async function mapOf(golden: GoldenCase, options: { layer?: boolean } = {}): Promise<MapExtent[]> {
  const extents: MapExtent[] = [];
  for await (const batch of mapAllocation(imagePath(golden), options)) extents.push(...batch);
  return extents;
}

test('the fixtures contain images to compare', () => {
  expect(cases.length).toBeGreaterThan(40);
});

// A test thread has no current folder. test/program/current-folder.test.ts has the others.
describe.each(cases.filter((golden) => !needsCurrentFolder(golden)))('the chain $name', (golden) => {
  test("has the same map as QEMU's", async () => {
    expect(mapFaults(await mapOf(golden), golden)).toEqual([]);
  });

  test('has no adjacent extents in its map that could be one extent', async () => {
    expect(unmergedExtents(await mapOf(golden))).toEqual([]);
  });
});

describe.each(cases)('the top image of $name', (golden) => {
  test('has in its own map what QEMU shows at depth 0, and opens no backing image', async () => {
    const map = await mapOf(golden, { layer: true });
    expect(coverageFaults(map, golden.info[0]!['virtual-size'])).toEqual([]);
    expect(ownAllocation(map)).toEqual(ownAllocation(golden.map));
    expect(map.every(({ depth }) => depth === 0)).toBe(true);
  });
});

test('map --layer does not report zeros if the layer holds nothing and has a backing image', async () => {
  const map = await mapOf(caseNamed('chain-of-three'), { layer: true });
  expect(normalised(map.filter(({ zero }) => zero))).toEqual([{ start: 98304, length: 4096 }]);
});
