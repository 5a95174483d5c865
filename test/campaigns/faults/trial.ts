/** One change of one image: its content before and after. */
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bitmapTool } from '../../support/bitmap-tool.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { EditedImage } from '../../unit/image/edited-image.ts';
import { examine, examineOpenable, type OpenedImage } from '../crash/checker/examine.ts';
import { sameBitmaps } from '../crash/judge.ts';
import type { Scenario } from './scenarios.ts';

const fixtures = fileURLToPath(new URL('../../../fixtures/images', import.meta.url));

export interface Trial {
  /** Holds `disk.qcow2` and the images below it. */
  readonly folder: string;
  /** Copies the folder, and returns the image in it. */
  readonly place: () => Promise<string>;
  readonly original: Buffer;
  /** The image before it was spoiled. */
  readonly intact: OpenedImage;
  /** Undefined where QEMU refuses it. */
  readonly before: OpenedImage | undefined;
  readonly after: OpenedImage;
  /** The whole file, once the change is made. */
  readonly changed: Buffer;
}

export async function prepareTrial({ fixture, spoil, args }: Scenario): Promise<Trial> {
  const folder = await copyOf(join(fixtures, fixture));
  const image = join(folder, 'disk.qcow2');
  const intact = await readFile(image);
  const edited = new EditedImage(Buffer.from(intact));
  spoil?.(edited);
  const original = edited.bytes;
  await writeFile(image, original);
  const place = async () => join(await copyOf(folder), 'disk.qcow2');

  const whole = await place();
  const { exitCode, stderr } = await bitmapTool(...args(whole));
  if (exitCode !== 0)
    throw new Error(`bitmap-tool ${args(whole).join(' ')}: exit code ${exitCode}\n${stderr}`);
  const changed = await readFile(whole);
  const before = openedOrNot(original);
  const after = examineOpenable(changed);
  if (before !== undefined && sameBitmaps(before.bitmaps, after.bitmaps)) throw new Error('nothing changes');
  return { folder, place, original, intact: examineOpenable(intact), before, after, changed };
}

async function copyOf(folder: string): Promise<string> {
  const copy = await scratchFolder();
  await cp(folder, copy, { recursive: true });
  return copy;
}

function openedOrNot(bytes: Buffer): OpenedImage | undefined {
  const image = examine(bytes);
  return image.opens ? image : undefined;
}
