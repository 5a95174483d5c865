/**
 * XML as a tree of plain elements.
 */
import { SaxesParser } from 'saxes';
import { invalid } from './invalid-checkpoint.ts';

export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
  /** Its own text, without that of its children. */
  readonly text: string;
}

/**
 * A checkpoint's XML may contain the XML of a domain. It nests a chain of up to 200 images within about ten
 * other levels.
 */
const MAX_DEPTH = 256;

/**
 * Accepts well-formed documents without a document type: custom entities serve only attacks.
 *
 * @throws FormatError with the line number
 */
export function parseXml(text: string): XmlElement {
  const parser = new SaxesParser();
  const open: { name: string; attributes: Record<string, string>; children: XmlElement[]; text: string }[] =
    [];
  let root: XmlElement | undefined;
  const refuse = (what: string): never => {
    throw invalid(`line ${parser.line}: ${what}`);
  };
  parser.on('error', ({ message }) => {
    throw invalid(`not well-formed XML: line ${message.replace(/^(\d+):\d+: /, '$1: ')}`);
  });
  parser.on('xmldecl', ({ encoding = 'UTF-8' }) => {
    if (!/^(utf-8|us-ascii)$/i.test(encoding)) refuse(`the encoding ${encoding}, must be UTF-8`);
  });
  parser.on('doctype', () => refuse('a DOCTYPE, which no XML of libvirt has'));
  parser.on('opentag', ({ name, attributes }) => {
    if (open.length >= MAX_DEPTH) refuse(`elements nested more than ${MAX_DEPTH} deep`);
    open.push({ name, attributes, children: [], text: '' });
  });
  const addText = (more: string) => {
    const element = open.at(-1);
    if (element !== undefined) element.text += more;
  };
  parser.on('text', addText);
  parser.on('cdata', addText);
  parser.on('closetag', () => {
    const element = open.pop()!;
    const parent = open.at(-1);
    if (parent === undefined) root = element;
    else parent.children.push(element);
  });
  parser.write(text).close();
  // The parser refuses a document without a root.
  return root!;
}

export function childrenOf(element: XmlElement | undefined, name: string): readonly XmlElement[] {
  return element?.children.filter((child) => child.name === name) ?? [];
}

/** @throws FormatError when there are several */
export function childOf(element: XmlElement | undefined, name: string): XmlElement | undefined {
  const [child, ...more] = childrenOf(element, name);
  if (more.length > 0) throw invalid(`<${element!.name}> has ${more.length + 1} <${name}>, must have one`);
  return child;
}
