/**
 * Text in the markup language of man pages, man(7).
 */

const WORDS: Readonly<Record<string, string>> = {
  '…': '...',
  '–': '-',
  '—': '-',
  '“': '"',
  '”': '"',
  '‘': "'",
  '’': "'",
  '×': 'x',
};

/** Escapes text: minus signs stay copyable, and roff finds no request or escape in it. */
export function roff(text: string): string {
  return text
    .replace(/[…–—“”‘’×]/g, (character) => WORDS[character]!)
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replace(
      /[^\n -~]/gu,
      (character) => `\\[u${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`,
    );
}

/** One argument of a request. */
export function quoted(text: string): string {
  return `"${roff(text).replaceAll('"', '\\(dq')}"`;
}

export function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

export function italic(text: string): string {
  return `\\fI${roff(text)}\\fR`;
}

export function section(title: string, ...body: readonly string[]): string {
  return [`.SH ${quoted(title)}`, ...body].join('\n');
}

export function paragraphs(...texts: readonly string[]): string {
  return texts.map(roff).join('\n.PP\n');
}

/** A term with an indented explanation. The term must already be roff. */
export function item(term: string, explanation: string): string {
  return `.TP\n${term}\n${roff(explanation)}`;
}

/** Lines without filling. */
export function literal(lines: readonly string[]): string {
  return ['.RS 4', '.nf', ...lines.map(roff), '.fi', '.RE'].join('\n');
}
