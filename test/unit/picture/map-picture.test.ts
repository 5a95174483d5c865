/** The picture of a map shows the image of each cell, for chains of any depth. */
import { expect, test } from 'vitest';
import type { MapExtent } from '../../../src/guest/allocation/map-columns.ts';
import { newMapPicture } from '../../../src/picture/map-picture.ts';
import { allElements, parseXml } from '../../support/well-formed.ts';

const MiB = 2 ** 20;

function extent(startMiB: number, lengthMiB: number, depth: number | null, zero = depth === null): MapExtent {
  const present = depth !== null;
  return {
    start: startMiB * MiB,
    length: lengthMiB * MiB,
    depth: depth ?? 0,
    present,
    zero,
    data: present && !zero,
    compressed: false,
  };
}

function draw(
  sizeMiB: number,
  extents: readonly MapExtent[],
  images: readonly string[],
  alone = false,
): string {
  const picture = newMapPicture({ image: images[0]!, virtualSize: sizeMiB * MiB, granularity: MiB, alone });
  picture.add(extents);
  return picture.svg(images);
}

function texts(svg: string): string[] {
  return allElements(parseXml(svg))
    .filter(({ name }) => name === 'text' || name === 'title')
    .map(({ text }) => text);
}

test('the picture names the images, their shares, and the share that none holds', () => {
  const all = [extent(0, 1, 0), extent(1, 1, 0, true), extent(2, 1, 1), extent(3, 1, null)];
  const svg = draw(4, all, ['/a/top.qcow2', '/b/base & co.qcow2']);
  const words = texts(svg);
  expect(words).toContain('top: top.qcow2');
  expect(words).toContain('1: base & co.qcow2');
  expect(words).toContain('in no image: reads as zeros');
  expect(words).toContain('4 MiB disk, 2 MiB data (50 %), 1 MiB zeros, 2 images');
  expect(words).toEqual(
    expect.arrayContaining([
      '0 B – 1 MiB: data in top.qcow2',
      '1 MiB – 2 MiB: zeros in top.qcow2',
      '2 MiB – 3 MiB: data in base & co.qcow2',
      '3 MiB – 4 MiB: in no image',
    ]),
  );
});

test('a cell of several images has the colour of the largest share, and a dot of the next', () => {
  const svg = draw(16384, [extent(0, 16383, 1), extent(16383, 1, 0)], ['top', 'base']);
  const paths = allElements(parseXml(svg)).filter(
    ({ name, attributes }) => name === 'path' && attributes['class'],
  );
  const dots = paths.filter(({ attributes }) => /M[\d.]+ [\d.]+h\./.test(attributes['d']!));
  expect(dots.map(({ attributes }) => attributes['class'])).toEqual(['l0']);
});

test('the gaps of a single layer are not called zeros', () => {
  const gap: MapExtent = { ...extent(1, 1, null), zero: false };
  const words = texts(draw(2, [extent(0, 1, 0), gap], ['top'], true));
  expect(words).toContain('not in this image: 1 MiB');
  expect(words.join()).not.toContain('reads as zeros');
});

test('images with the same name are distinguished by their folders', () => {
  const words = texts(draw(2, [extent(0, 1, 0), extent(1, 1, 1)], ['/a/disk.qcow2', '/b/disk.qcow2']));
  expect(words).toContain('top: /a/disk.qcow2');
  expect(words).toContain('1: /b/disk.qcow2');
});

test('the picture stays small and well-formed with hundreds of images and scattered extents', () => {
  const images = Array.from({ length: 300 }, (_, depth) => `/images/<${depth}>${'long'.repeat(50)}.qcow2`);
  const extents = Array.from({ length: 40_000 }, (_, index) =>
    extent(
      index * 400,
      400,
      index % 3 === 2 ? null : (index * 7919) % 300,
      index % 5 === 0 || index % 3 === 2,
    ),
  );
  const svg = draw(16 * MiB, extents, images);
  expect(texts(svg)).toContain('other images');
  expect(svg.length).toBeLessThan(400 * 1024);
});
