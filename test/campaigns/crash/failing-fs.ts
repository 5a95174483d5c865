/**
 * Calls of the operating system that fail when a test says so.
 *
 * A test that uses it mocks node:fs by failingFs.
 */
import type * as fs from 'node:fs';
import { promisify } from 'node:util';

interface Failure {
  call: 'write' | 'fdatasync' | 'link';
  /** The file, or the new name of a link. */
  path: string;
  /** After how many more calls of the kind; that one alone fails. */
  countdown: number;
}

export const failures: Failure[] = [];

/** How often each call was made for each path, as "write /path". */
export const counts = new Map<string, number>();

export async function failingFs(importOriginal: () => Promise<unknown>): Promise<typeof fs> {
  const original = (await importOriginal()) as typeof fs;
  const paths = new Map<number, string>();
  const opened = promised(original.open);
  const open = promising(async (...args) => {
    const fd = await opened(...args);
    paths.set(fd as number, `${args[0]}`);
    return fd;
  });
  const failing = (name: Failure['call'], made: keyof typeof fs = name) => {
    const call = promised(original[made]);
    return promising(async (...args) => {
      const path = name === 'link' ? `${args[1]}` : paths.get(args[0] as number)!;
      counts.set(`${name} ${path}`, (counts.get(`${name} ${path}`) ?? 0) + 1);
      const due = failures.filter(
        (each) => each.call === name && each.path === path && each.countdown-- === 0,
      );
      if (due.length > 0) throw Object.assign(new Error('EIO'), { code: 'EIO' });
      return call(...args);
    });
  };
  const listening = {
    ...original,
    open,
    writev: failing('write', 'writev'),
    fdatasync: failing('fdatasync'),
    link: failing('link'),
  };
  return Object.assign(listening, { default: listening }) as unknown as typeof fs;
}

type Call = (...args: unknown[]) => Promise<unknown>;

function promised(call: unknown): Call {
  return promisify(call as (...args: unknown[]) => void) as unknown as Call;
}

/** A function of which only the promisified form is used, as storage does. */
function promising(call: Call): object {
  return Object.assign(() => {}, { [promisify.custom]: call });
}
