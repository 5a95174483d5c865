/**
 * The arguments of the library's functions, and their rules.
 */
import { granularityBitsOf } from '../bitmap/granularity.ts';
import type { ByteRange } from '../bytes/range.ts';
import type { ImageReference } from '../chain/reference.ts';
import type { CheckpointFiles } from '../checkpoint/known/known-checkpoints.ts';
import type { BitmapAction } from '../operations/bitmaps/bitmap-actions.ts';
import type { BitmapChoice } from '../operations/bitmaps/choose-bitmaps.ts';
import type { NamedBitmaps } from '../operations/bitmaps/named-bitmaps.ts';
import type { ChangeOptions } from '../operations/change-bitmaps.ts';
import type { CreateFromOptions } from '../operations/create-from/create-from-result.ts';
import type { BitmapSource } from '../operations/create-from/sources.ts';
import type { OperationOptions } from '../operations/options.ts';
import type { Domain, DomainAddress } from '../operations/running/open-domain.ts';
import type { QemuAddress, RunningQemu } from '../operations/running/open-qemu.ts';
import {
  type Fields,
  fields,
  kinds,
  listOf,
  oneOf,
  optional,
  type Rule,
  rule,
  someOf,
  type Whole,
} from './rules.ts';

/** The name of a bitmap, which may have any name that an image has stored. */
export const TEXT = rule('text', (value): value is string => typeof value === 'string');

export const PATH = rule(
  'a path',
  (value): value is string =>
    typeof value === 'string' && value !== '' && !value.includes('\0') && value.isWellFormed(),
);

export const FLAG = optional(rule('true or false', (value): value is boolean => typeof value === 'boolean'));

export const SECONDS = rule(
  'a whole number of seconds since 1970',
  (value): value is number => Number.isSafeInteger(value) && (value as number) >= 0,
);

export const NUMBER = rule('a number', (value): value is number => typeof value === 'number');

export const GRANULARITY: Rule<number> = (value, name) => {
  const bytes = NUMBER(value, name);
  granularityBitsOf(bytes);
  return bytes;
};

// biome-ignore lint/suspicious/noExplicitAny: nothing is known about the parameters of a function
export const FUNCTION = optional(rule('a function', (value): value is any => typeof value === 'function'));

const SIGNAL = rule(
  'an AbortSignal',
  // It may be that of another realm.
  (value): value is AbortSignal => typeof (value as AbortSignal | null)?.throwIfAborted === 'function',
);

const EXTENTS = rule(
  'an iterable of objects with offset and length',
  (value): value is Iterable<ByteRange> =>
    typeof value === 'object' && value !== null && Symbol.iterator in value,
);

const REFERENCE: Rule<Whole<ImageReference>> = (value, name) =>
  fields<ImageReference>({
    path: PATH,
    format: optional(TEXT),
    backing: (below, at) => (below === null ? null : optional(REFERENCE)(below, at)),
  })(value, name);

export const PATH_OR_REFERENCE: Rule<Whole<string | ImageReference>> = (value, name) =>
  typeof value === 'object' ? REFERENCE(value, name) : PATH(value, name);

export const READING: Fields<OperationOptions> = {
  signal: optional(SIGNAL),
  onProgress: FUNCTION,
  onWarning: FUNCTION,
  forceShare: FLAG,
  noLock: FLAG,
};

export const CHANGING: Fields<ChangeOptions> = { ...READING, dryRun: FLAG, ignoreDeviceEnd: FLAG };

export const CHECKPOINT_FILES: Fields<CheckpointFiles> = {
  checkpoints: optional(someOf(PATH)),
  documents: optional(listOf(fields({ origin: TEXT, xml: TEXT }))),
  disks: optional(someOf(TEXT)),
};

export const CREATING: Fields<Omit<CreateFromOptions, 'into'>> = {
  ...CHANGING,
  names: optional(someOf(TEXT)),
  granularity: optional(GRANULARITY),
  ifExists: optional(oneOf('fail', 'merge', 'replace')),
  disabled: FLAG,
};

const NAMED_BITMAPS: Fields<NamedBitmaps> = {
  names: someOf(TEXT),
  from: optional(PATH),
  anySize: FLAG,
  chain: FLAG,
};

// The arguments, each with its name in messages.

export const IMAGE = ['image', PATH] as const;
export const IMAGES = ['images', someOf(PATH)] as const;
export const NAME = ['name', TEXT] as const;
export const NAMES = ['names', someOf(TEXT)] as const;
export const TARGET = ['target', TEXT] as const;
export const MERGED = ['sources', fields<NamedBitmaps>(NAMED_BITMAPS)] as const;

export const SOURCE = [
  'source',
  kinds<BitmapSource>({
    allocated: { above: optional(PATH) },
    data: { above: optional(PATH) },
    bitmap: NAMED_BITMAPS,
    compare: { image: PATH, anySize: FLAG },
    extents: { extents: EXTENTS },
    everything: {},
  }),
] as const;

export const CHOICE = [
  'choice',
  kinds<BitmapChoice>({ named: { names: someOf(TEXT) }, all: {}, unknown: CHECKPOINT_FILES }),
] as const;

export const ACTIONS = [
  'actions',
  someOf(
    kinds<BitmapAction>({
      'remove-all': {},
      add: {},
      remove: {},
      clear: {},
      enable: {},
      disable: {},
      merge: { source: TEXT },
    }),
  ),
] as const;

export const QEMU_ADDRESS = ['address', fields<QemuAddress>({ qmp: PATH })] as const;

export const DOMAIN_ADDRESS = [
  'address',
  fields<DomainAddress>({ domain: TEXT, connect: optional(TEXT) }),
] as const;

export const QEMU = [
  'qemu',
  rule(
    'what openQemu returns',
    (value): value is RunningQemu => typeof (value as RunningQemu | null)?.qmp?.execute === 'function',
  ),
] as const;

export const DOMAIN = [
  'domain',
  rule('what openDomain returns', (value): value is Domain => Array.isArray((value as Domain | null)?.disks)),
] as const;

export function options<T extends object>(
  rules: Fields<T>,
): readonly ['options', Rule<Whole<T> | undefined>] {
  return ['options', optional(fields(rules))];
}
