/** A small strict parser of the XML that the tool writes: elements, attributes, text, the five entities. */

export interface Element {
  name: string;
  attributes: Record<string, string>;
  children: Element[];
  text: string;
}

const NAME = /[A-Za-z_][\w.:-]*/y;
const TEXT = /[^<&]*/y;
const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** @throws where the text is not one well-formed element, with at most white space after it */
export function parseXml(xml: string): Element {
  if (/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.test(xml))
    throw new Error('a character that XML forbids');
  let at = 0;
  const root = element();
  if (xml.slice(at).trim() !== '') fail('something after the root');
  return root;

  function fail(what: string): never {
    throw new Error(`${what} at ${at}: ${xml.slice(at, at + 60)}`);
  }
  function match(pattern: RegExp): string {
    pattern.lastIndex = at;
    const found = pattern.exec(xml)?.[0];
    if (found === undefined) return fail(`no ${pattern.source}`);
    at += found.length;
    return found;
  }
  function expect(text: string): void {
    if (!xml.startsWith(text, at)) fail(`no "${text}"`);
    at += text.length;
  }
  function unescaped(raw: string): string {
    if (/&(?!(lt|gt|amp|quot|apos);)/.test(raw)) fail('a stray ampersand');
    return raw.replace(/&(\w+);/g, (_, name: string) => ENTITIES[name]!);
  }
  function element(): Element {
    expect('<');
    const result: Element = { name: match(NAME), attributes: {}, children: [], text: '' };
    for (;;) {
      const space = match(/\s*/y);
      if (xml.startsWith('/>', at)) {
        at += 2;
        return result;
      }
      if (xml[at] === '>') break;
      if (space === '') fail('no space before an attribute');
      const name = match(NAME);
      expect('=');
      if (name in result.attributes) fail(`a second ${name}`);
      result.attributes[name] = unescaped(match(/"[^"<]*"/y).slice(1, -1));
    }
    expect('>');
    for (;;) {
      let raw = match(TEXT);
      while (xml[at] === '&') raw += match(/&\w+;/y) + match(TEXT);
      if (raw.includes(']]>')) fail(']]> in text');
      result.text += unescaped(raw);
      if (xml.startsWith('</', at)) break;
      result.children.push(element());
    }
    expect(`</${result.name}>`);
    return result;
  }
}

/** The element and all below it, in the order of the text. */
export function allElements(element: Element): Element[] {
  return [element, ...element.children.flatMap(allElements)];
}
