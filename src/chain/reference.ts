/**
 * How one names an image: on a command line or in the header of an overlay. The forms are those of QEMU that mean
 * a local file or block device.
 */
import { dirname, isAbsolute, join } from 'node:path';
import { RefusedError } from '../errors.ts';

export interface ImageReference {
  readonly path: string;
  /** "qcow2", "raw", …; undefined leaves it to probing. */
  readonly format: string | undefined;
  /** What a json: reference says instead of the image's own header; null: no backing image. */
  readonly backing?: ImageReference | null | undefined;
}

/**
 * Parses a path, `file:…` or `json:{…}`. Paths in the last two are not relative to the naming image, but to the
 * current folder, as they are for QEMU.
 *
 * @param namedBy path of the image in whose header `name` stands; a plain relative path starts at its folder
 * @throws RefusedError for anything that is not a local file
 */
export function parseReference(name: string, format: string | undefined, namedBy?: string): ImageReference {
  if (name.startsWith('json:')) return parseJson(name, format);
  if (name.startsWith('file:')) return { path: withoutAuthority(name.slice('file:'.length)), format };
  const protocol = /^([^/:]+):/.exec(name)?.[1];
  if (protocol !== undefined) {
    throw unsupported(name, `the protocol "${protocol}"`, `For a file of that name write ./${name}`);
  }
  if (namedBy === undefined || isAbsolute(name)) return { path: name, format };
  return { path: join(dirname(namedBy), name), format };
}

function withoutAuthority(path: string): string {
  return path.startsWith('///') ? path.slice(2) : path;
}

type Options = Record<string, unknown>;

const FORMAT_DRIVERS = new Set(['qcow2', 'raw']);
const FILE_DRIVERS = new Set(['file', 'host_device']);
/** Options that say how QEMU shall do its work, not what the image is. */
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

/** Turns `{"file.filename": …}` into `{"file": {"filename": …}}`: QEMU takes both. */
function nested(value: unknown, name: string): Options {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw unsupported(name, 'JSON that is not an object');
  }
  const result: Options = Object.create(null);
  for (const [key, each] of Object.entries(value)) {
    const [first, ...rest] = key.split('.') as [string, ...string[]];
    const isGroup = typeof each === 'object' && each !== null;
    const inner =
      rest.length > 0 ? nested({ [rest.join('.')]: each }, name) : isGroup ? nested(each, name) : each;
    const present = result[first];
    result[first] =
      typeof present === 'object' && present !== null && typeof inner === 'object' && inner !== null
        ? { ...present, ...inner }
        : inner;
  }
  return result;
}

function fromOptions(options: Options, name: string, format: string | undefined): ImageReference {
  const { driver = format, file, filename, backing, ...rest } = options;
  // A node with a filename needs no driver: QEMU takes a local file then.
  const isFile = typeof driver === 'string' ? FILE_DRIVERS.has(driver) : typeof filename === 'string';
  if (isFile) {
    refuseUnknown(rest, name);
    if (typeof filename !== 'string') throw unsupported(name, `driver "${driver}" without a filename`);
    return { path: filename, format };
  }
  if (typeof file !== 'object' || file === null) {
    throw unsupported(name, driver === undefined ? 'no driver' : `the driver "${driver}"`);
  }
  if (driver !== undefined && (typeof driver !== 'string' || !FORMAT_DRIVERS.has(driver))) {
    throw unsupported(name, `the driver "${driver}"`);
  }
  refuseUnknown(rest, name);
  const inner = fromOptions(file as Options, name, undefined);
  if (backing === undefined) return { path: inner.path, format: driver };
  if (backing === null) return { path: inner.path, format: driver, backing: null };
  if (typeof backing !== 'object') throw unsupported(name, 'a backing node given by name');
  return { path: inner.path, format: driver, backing: fromOptions(backing as Options, name, undefined) };
}

function refuseUnknown(options: Options, name: string): void {
  const unknown = Object.keys(options).find((key) => !HARMLESS.has(key) && !HARMLESS_GROUPS.test(key));
  if (unknown !== undefined) throw unsupported(name, `the option "${unknown}"`);
}

function unsupported(name: string, what: string, hint?: string): RefusedError {
  return new RefusedError('UNSUPPORTED', `${name}: unsupported image reference: ${what}`, {
    hint:
      hint ??
      'Supported are local files and block devices: a path, file:…, or json:{…} with driver qcow2 or raw over file or host_device.',
    context: { file: name },
  });
}
