/**
 * Rules for arguments. JavaScript checks no types: without these rules a misspelt choice would pass for
 * another one, and the text "ab" for the names "a" and "b".
 */
import { UsageError } from '../errors.ts';
import { shortened } from '../text/shortened.ts';

/**
 * Returns a value that keeps the rule. `name` stands for the value in the message of the error.
 *
 * @throws UsageError for any other value
 */
export type Rule<T> = (value: unknown, name: string) => T;

/** A `T` with all fields that it may have, so that the compiler finds a rule that does not know one of them. */
export type Whole<T> = { [Key in keyof T]-?: T[Key] };

/** A rule for each field of a `T`, so that the compiler finds a missing one. */
export type Fields<T> = { readonly [Key in keyof T]-?: Rule<T[Key]> };

/** @param allowed describes the allowed values */
export function rule<T>(allowed: string, isAllowed: (value: unknown) => value is T): Rule<T> {
  return (value, name) => {
    if (isAllowed(value)) return value;
    throw new UsageError(`${name} is ${described(value)}, must be ${allowed}`);
  };
}

export function optional<T>(present: Rule<T>): Rule<T | undefined> {
  return (value, name) => (value === undefined ? undefined : present(value, name));
}

export function oneOf<T extends string>(...choices: readonly T[]): Rule<T> {
  return rule(alternatives(choices), (value): value is T => choices.some((choice) => choice === value));
}

/** An array with at least one element. Doing something with nothing is a mistake of the caller. */
export function someOf<T>(element: Rule<T>): Rule<readonly T[]> {
  const some = rule('an array with at least one element', isFilledArray);
  return (value, name) => some(value, name) && listOf(element)(value, name);
}

/** An array that may be empty. */
export function listOf<T>(element: Rule<T>): Rule<readonly T[]> {
  const list = rule('an array', Array.isArray);
  return (value, name) => list(value, name).map((each, index) => element(each, `${name}[${index}]`));
}

/** An object that has no other fields: an option with a misspelt name would have no effect. */
export function fields<T extends object>(rules: Fields<T>): Rule<Whole<T>> {
  return (value, name) => {
    const given = anObject(value, name);
    const unknown = Object.keys(given).find((key) => !Object.hasOwn(rules, key) && given[key] !== undefined);
    if (unknown !== undefined) {
      const known = Object.keys(rules).join(', ');
      throw new UsageError(`${name} has a field "${shortened(unknown, 40)}", allowed are ${known}`);
    }
    for (const key of Object.keys(rules) as (keyof T & string)[]) rules[key](given[key], `${name}.${key}`);
    return given as Whole<T>;
  };
}

type Kinds<T extends { readonly kind: string }> = {
  readonly [Kind in T['kind']]: Fields<Omit<Extract<T, { readonly kind: Kind }>, 'kind'>>;
};

/** An object whose field `kind` decides which other fields it has. */
export function kinds<T extends { readonly kind: string }>(rulesOf: Kinds<T>): Rule<Whole<T>> {
  const anyKind = oneOf(...(Object.keys(rulesOf) as T['kind'][]));
  return (value, name) => {
    const kind = anyKind(anObject(value, name)['kind'], `${name}.kind`);
    return fields<object>({ kind: anyKind, ...rulesOf[kind] })(value, name) as Whole<T>;
  };
}

type Arguments<T extends readonly unknown[]> = {
  readonly [Index in keyof T]-?: readonly [name: string, rule: Rule<Whole<T[Index]>>];
};

// biome-ignore lint/suspicious/noExplicitAny: it stands for the arguments of any function
type AnyFunction = (...given: any[]) => unknown;

/** Calls `work` only with arguments that keep the rules, and not if the signal of its options is aborted. */
export function checked<Work extends AnyFunction>(work: Work, ...rules: Arguments<Parameters<Work>>): Work {
  return ((...given: Parameters<Work>) => {
    for (const [index, [name, keep]] of rules.entries()) keep(given[index], name);
    given[rules.length - 1]?.signal?.throwIfAborted();
    return work(...given);
  }) as Work;
}

/** The same for a function that returns a promise: an error rejects this promise. */
export function checkedPromise<Work extends (...given: never[]) => Promise<unknown>>(
  work: Work,
  ...rules: Arguments<Parameters<Work>>
): Work {
  const call = checked(work, ...rules);
  return (async (...given: Parameters<Work>) => call(...given)) as Work;
}

const anObject = rule(
  'an object',
  (value): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value),
);

function isFilledArray(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && value.length > 0;
}

function alternatives(choices: readonly string[]): string {
  const quoted = choices.map((choice) => `"${choice}"`);
  return [quoted.slice(0, -1).join(', '), quoted.at(-1)].filter((part) => part !== '').join(' or ');
}

function described(value: unknown): string {
  if (typeof value === 'string') return `"${shortened(value, 80)}"`;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}
