/**
 * A power cut during the creation of a new image leaves no file of its name, or the complete image. The image gets its name
 * after its content is on stable storage, and never replaces a file.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';
import { createFrom } from '../../../src/index.ts';
import { qemuImg, qemuIo } from '../../support/qemu.ts';
import { scratchFolder } from '../../support/scratch.ts';
import { examineOpenable } from './checker/examine.ts';

type Call = readonly [name: string, subject: string];

const { calls, atLink, failing } = vi.hoisted(() => ({
  calls: [] as Call[],
  /** The content of the temporary file when it gets its name. */
  atLink: [] as string[],
  /** Names of calls that fail. */
  failing: new Map<string, string>(),
}));

vi.mock('node:fs', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:fs')>();
  const paths = new Map<number, string>();
  // Storage takes these promisified.
  const heard = (name: 'open' | 'writev' | 'fdatasync' | 'fsync' | 'link' | 'unlink' | 'close') => {
    const call = promisify(original[name] as (...args: unknown[]) => void) as (
      ...args: unknown[]
    ) => Promise<unknown>;
    return Object.assign(() => {}, {
      [promisify.custom]: async (...args: unknown[]) => {
        const [first, second] = args;
        const subject = typeof first === 'number' ? (paths.get(first) ?? '') : `${first}`;
        calls.push([name, name === 'link' ? `${second}` : subject]);
        const code = failing.get(name);
        if (code !== undefined) throw Object.assign(new Error(code), { code });
        if (name === 'link') atLink.push(original.readFileSync(`${first}`).toString('latin1'));
        const result = await call(...args);
        if (name === 'open') paths.set(result as number, `${first}`);
        return result;
      },
    });
  };
  const listening = {
    ...original,
    ...Object.fromEntries(
      (['open', 'writev', 'fdatasync', 'fsync', 'link', 'unlink', 'close'] as const).map((name) => [
        name,
        heard(name),
      ]),
    ),
  };
  return { ...listening, default: listening };
});

async function makeDisk(): Promise<{ folder: string; image: string; into: string }> {
  const folder = await scratchFolder();
  const image = join(folder, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, '64M');
  await qemuIo(image, 'write -q 1M 64k');
  calls.length = 0;
  atLink.length = 0;
  failing.clear();
  return { folder, image, into: join(folder, 'new.qcow2') };
}

const create = (image: string, into: string) => createFrom(image, { kind: 'allocated' }, { into });

test('a new image is flushed before it gets its name, and its folder is flushed afterwards', async () => {
  const { folder, image, into } = await makeDisk();
  await create(image, into);
  const written = calls.filter(([, subject]) => subject.startsWith(folder) && subject !== image);
  const temporary = written.find(([name]) => name === 'writev')![1];
  const order = written
    .filter(([name]) => name !== 'open' && name !== 'close')
    .map(([name, subject]) => `${name} ${subject === temporary ? 'temporary' : subject}`);
  const last = order.lastIndexOf('writev temporary');
  expect(order.slice(last + 1)).toEqual([
    ...order.slice(last + 1).filter((step) => step === 'fdatasync temporary'),
    `link ${into}`,
    'unlink temporary',
    `fsync ${folder}/`,
  ]);
  expect(order[last + 1]).toBe('fdatasync temporary');

  // The content at that moment is the final content, and it is sound.
  const final = await readFile(into);
  expect(atLink).toEqual([final.toString('latin1')]);
  const { errors, bitmaps, allLeaks } = examineOpenable(final);
  expect([...errors, ...allLeaks()]).toEqual([]);
  expect(bitmaps.map(({ name }) => name)).toEqual(['allocated']);
  expect(await readdir(folder)).toEqual(['disk.qcow2', 'new.qcow2']);
});

test.each([
  { call: 'writev', code: 'ENOSPC', says: 'no space left' },
  { call: 'fdatasync', code: 'EIO', says: 'could not flush' },
  { call: 'link', code: 'EPERM', says: 'has no hard links' },
  { call: 'link', code: 'EEXIST', says: 'there is a file of that name already' },
])('no file is left when $call fails with $code', async ({ call, code, says }) => {
  const { folder, image, into } = await makeDisk();
  failing.set(call, code);
  await expect(create(image, into)).rejects.toThrow(says);
  await expect(create(image, into)).rejects.toThrow(into);
  expect(await readdir(folder)).toEqual(['disk.qcow2']);
});

test('a new image stays if only the flush of its folder fails, and the error reports this', async () => {
  const { folder, image, into } = await makeDisk();
  failing.set('fsync', 'EIO');
  await expect(create(image, into)).rejects.toThrow('exists, but its folder could not be flushed');
  expect(await readdir(folder)).toEqual(['disk.qcow2', 'new.qcow2']);
});
