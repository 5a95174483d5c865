/**
 * References to images, on a command line or in the header of an overlay. Supported are QEMU's forms for a
 * local file or block device.
 */
import { isAbsolute } from 'node:path';
import { RefusedError } from '../errors.ts';
import type { Remedy } from '../remedy.ts';
import { folderOf, pathIn } from '../storage/path.ts';

export interface ImageReference {
  readonly path: string;
  /** "qcow2", "raw", …; if undefined, the format is probed. */
  readonly format: string | undefined;
  /** From a json: reference, instead of the image's own header; null: no backing image. */
  readonly backing?: ImageReference | null | undefined;
}

/** What a decoder writes for bytes that are not UTF-8. The file with those bytes in its name cannot be named. */
const REPLACEMENT_CHARACTER = '\ufffd';

/**
 * Parses a path, `file:…` or `json:{…}`. Paths in the last two are relative to the current folder, as in
 * QEMU, not to the naming image.
 *
 * @param format from the naming image or the command line; as in QEMU it overrides the driver in `json:{…}`
 * @param namedBy path of the image whose header contains `name`; a plain relative path starts at its folder
 * @throws RefusedError for a reference that is not a local file
 */
export function parseReference(name: string, format: string | undefined, namedBy?: string): ImageReference {
  if (name.includes(REPLACEMENT_CHARACTER)) {
    throw unsupported(name, 'a name that is not UTF-8', { kind: 'use-utf8-name' });
  }
  if (name.startsWith('json:')) return parseJson(name, format);
  if (name.startsWith('file:')) return plain(withoutAuthority(name.slice('file:'.length)), format);
  const protocol = /^([^/:]*):/.exec(name)?.[1];
  if (protocol !== undefined) {
    throw unsupported(name, `the protocol "${protocol}"`, { kind: 'write-as-path', path: `./${name}` });
  }
  if (namedBy === undefined || isAbsolute(name)) return plain(name, format);
  return plain(pathIn(folderOf(namedBy), name), format);
}

/** A file driver in the place of a format means raw bytes of the file (bdrv_fill_options). */
function plain(path: string, format: string | undefined): ImageReference {
  return { path, format: format !== undefined && FILE_DRIVERS.has(format) ? 'raw' : format };
}

function withoutAuthority(path: string): string {
  return path.startsWith('///') ? path.slice(2) : path;
}

type Options = Record<string, unknown>;

const FORMAT_DRIVERS = new Set(['qcow2', 'raw']);
const FILE_DRIVERS = new Set(['file', 'host_device']);
/** Options that change how QEMU works but do not select another image. */
const HARMLESS = new Set([
  'node-name',
  'read-only',
  'auto-read-only',
  'discard',
  'detect-zeroes',
  'force-share',
  'locking',
  'aio',
  'lazy-refcounts',
]);
const HARMLESS_GROUPS =
  /^(cache|cache-.*|.*-cache-size|l2-cache-entry-size|pass-discard-.*|overlap-check.*|pr-manager)$/;

function parseJson(name: string, format: string | undefined): ImageReference {
  let options: unknown;
  try {
    options = JSON.parse(name.slice('json:'.length));
  } catch (cause) {
    throw unsupported(name, `text that is not JSON (${(cause as Error).message})`);
  }
  return fromOptions(nested(options, name), name, format);
}

/** Turns `{"file.filename": …}` into `{"file": {"filename": …}}`. QEMU accepts both. */
function nested(value: unknown, name: string): Options {
  if (!isGroup(value)) throw unsupported(name, 'JSON that is not an object');
  const result: Options = Object.create(null);
  for (const [key, each] of Object.entries(value)) {
    const path = key.split('.');
    const last = path.pop()!;
    let group = result;
    for (const word of path) {
      const inner = group[word] ?? Object.create(null);
      if (!isGroup(inner)) throw unsupported(name, `"${key}" together with "${word}"`);
      group[word] = inner;
      group = inner;
    }
    const inner = isGroup(each) ? nested(each, name) : each;
    const present = group[last];
    group[last] = isGroup(present) && isGroup(inner) ? { ...present, ...inner } : inner;
  }
  return result;
}

function isGroup(value: unknown): value is Options {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A format node over a file node, or a file node alone. */
function fromOptions(options: Options, name: string, format: string | undefined): ImageReference {
  if (!('file' in options)) {
    if (options['driver'] === undefined) throw unsupported(name, 'no driver and no file');
    const path = filenameOf(options, name);
    // QEMU then expects a file node below the format node, and finds a filename.
    if (format !== undefined && !FILE_DRIVERS.has(format)) {
      throw unsupported(name, `the format "${format}" for a file node`);
    }
    return { path, format: 'raw' };
  }
  const { driver: named, file, backing, ...rest } = options;
  const driver = format ?? named;
  if (driver !== undefined && (typeof driver !== 'string' || !FORMAT_DRIVERS.has(driver))) {
    throw unsupported(name, `the driver ${JSON.stringify(driver)}`);
  }
  refuseUnknown(rest, name);
  if (!isGroup(file)) throw unsupported(name, 'a file node given by name');
  const path = filenameOf(file, name);
  if (backing === undefined) return { path, format: driver };
  if (backing === null) return { path, format: driver, backing: null };
  if (!isGroup(backing)) throw unsupported(name, 'a backing node given by name');
  return { path, format: driver, backing: fromOptions(backing, name, undefined) };
}

/** Returns the filename of a file node. Without a driver QEMU uses a local file. */
function filenameOf({ driver = 'file', filename, ...rest }: Options, name: string): string {
  if (typeof driver !== 'string' || !FILE_DRIVERS.has(driver)) {
    throw unsupported(name, `the driver ${JSON.stringify(driver)}`);
  }
  refuseUnknown(rest, name);
  if (typeof filename !== 'string') throw unsupported(name, `driver "${driver}" without a filename`);
  return filename;
}

function refuseUnknown(options: Options, name: string): void {
  const unknown = Object.keys(options).find((key) => !HARMLESS.has(key) && !HARMLESS_GROUPS.test(key));
  if (unknown !== undefined) throw unsupported(name, `the option "${unknown}"`);
}

function unsupported(name: string, what: string, remedy?: Remedy): RefusedError {
  return new RefusedError('UNSUPPORTED', `${name}: unsupported image reference: ${what}`, {
    remedy: remedy ?? { kind: 'name-local-image' },
    context: { file: name },
  });
}
