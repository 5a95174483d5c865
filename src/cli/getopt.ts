/**
 * Parses arguments by the rules of getopt_long(3). Options and operands can come in any order. A long option
 * can be shortened to a unique prefix. A value can be joined to its option or be the next argument. Only
 * operands follow `--`.
 */

export interface LongOption {
  readonly name: string;
  readonly takesValue: boolean;
  /** The equivalent short option, if it exists. */
  readonly short?: string;
}

/** One option in the arguments, under its long name. `value` is undefined if the option takes no value. */
interface MetOption {
  readonly name: string;
  readonly value: string | undefined;
}

export interface Arguments {
  readonly options: readonly MetOption[];
  readonly operands: readonly string[];
}

export class GetoptError extends Error {}

/** @throws GetoptError when an option is unknown, ambiguous, or lacks its value */
export function getopt(args: readonly string[], known: readonly LongOption[]): Arguments {
  const options: MetOption[] = [];
  const operands: string[] = [];
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--') {
      operands.push(...rest);
      break;
    }
    if (arg.startsWith('--')) options.push(longOption(arg, rest, known));
    else if (arg.startsWith('-') && arg !== '-') options.push(...shortOptions(arg, rest, known));
    else operands.push(arg);
  }
  return { options, operands };
}

function longOption(arg: string, rest: string[], known: readonly LongOption[]): MetOption {
  const [, word, joined] = /^--([^=]*)(?:=(.*))?$/s.exec(arg)!;
  const matching = known.filter(({ name }) => name.startsWith(word!));
  const option =
    matching.find(({ name }) => name === word) ?? (matching.length === 1 ? matching[0] : undefined);
  if (option === undefined) {
    if (matching.length === 0) throw new GetoptError(`unrecognized option '${arg}'`);
    const possible = matching.map(({ name }) => `'--${name}'`).join(' ');
    throw new GetoptError(`option '${arg}' is ambiguous; possibilities: ${possible}`);
  }
  if (!option.takesValue) {
    if (joined !== undefined) throw new GetoptError(`option '--${option.name}' doesn't allow an argument`);
    return { name: option.name, value: undefined };
  }
  return {
    name: option.name,
    value: joined ?? valueFrom(rest, `option '--${option.name}' requires an argument`),
  };
}

/**
 * Parses joined short options. An option with a value takes the rest of the word, or else the next argument.
 */
function shortOptions(arg: string, rest: string[], known: readonly LongOption[]): MetOption[] {
  const met: MetOption[] = [];
  for (let at = 1; at < arg.length; at++) {
    const option = known.find(({ short }) => short === arg[at]);
    if (option === undefined) throw new GetoptError(`invalid option -- '${arg[at]}'`);
    if (option.takesValue) {
      const joined = arg.slice(at + 1);
      const value = joined === '' ? valueFrom(rest, `option requires an argument -- '${arg[at]}'`) : joined;
      met.push({ name: option.name, value });
      break;
    }
    met.push({ name: option.name, value: undefined });
  }
  return met;
}

function valueFrom(rest: string[], complaint: string): string {
  const value = rest.shift();
  if (value === undefined) throw new GetoptError(complaint);
  return value;
}
