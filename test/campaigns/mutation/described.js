/** Names mutants so that the name outlives a move: by the declaration that a mutant lies in and by what it changes. */
import { mutantsOf } from './mutants.js';
import { ts } from './typescript.js';

/** @import { DeclarationStatement, Node, SourceFile } from 'typescript' */

/** More of the code around a change would make its name longer, not clearer. */
const LONGEST_CONTEXT = 100;

/**
 * @typedef {object} Described
 * @property {string} within name of the top-level declaration
 * @property {string} change the code before and after
 * @property {number} line where it is now, for people
 */

/**
 * @param {string} text TypeScript
 * @returns {Described[]} in the order of {@link mutantsOf}; no two of one text are named alike
 */
export function describedMutants(text) {
  const source = ts.createSourceFile('source.ts', text, ts.ScriptTarget.ES2023, true);
  const described = mutantsOf(text).map((mutant) => {
    const node = nodeAt(source, mutant);
    const { start, end } = contextOf(node, source);
    const changed = text.slice(start, mutant.start) + mutant.replacement + text.slice(mutant.end, end);
    return {
      within: declarationAround(node, source),
      change: `${oneLine(text.slice(start, end))} → ${oneLine(changed)}`,
      line: mutant.line,
    };
  });
  return described.map((one) => {
    const same = described.filter(({ within, change }) => within === one.within && change === one.change);
    if (same.length === 1) return one;
    return { ...one, change: `${one.change} (${same.indexOf(one) + 1} of ${same.length})` };
  });
}

/**
 * The outermost node that a mutant replaces.
 *
 * @param {SourceFile} source
 * @param {import('./mutants.js').Mutant} mutant
 */
function nodeAt(source, { start, end }) {
  /** @type {Node | undefined} */
  let found;
  /** @param {Node} node */
  const visit = (node) => {
    if (found !== undefined || node.getStart(source) > start || node.getEnd() < end) return;
    if (node.getStart(source) === start && node.getEnd() === end) found = node;
    else ts.forEachChild(node, visit);
  };
  visit(source);
  if (found === undefined) throw new RangeError(`no node from ${start} to ${end}`);
  return found;
}

/**
 * The expression or the short statement around a change: "<" alone says little.
 *
 * @param {Node} node
 * @param {SourceFile} source
 */
function contextOf(node, source) {
  const { parent } = node;
  const own = { start: node.getStart(source), end: node.getEnd() };
  if (ts.isStatement(node) || parent === undefined || ts.isStatement(parent) || ts.isBlock(parent))
    return own;
  const around = { start: parent.getStart(source), end: parent.getEnd() };
  return around.end - around.start > LONGEST_CONTEXT ? own : around;
}

/**
 * @param {Node} node
 * @param {SourceFile} source
 */
function declarationAround(node, source) {
  let top = node;
  while (top.parent !== source) top = top.parent;
  if (ts.isVariableStatement(top)) {
    const declaration = top.declarationList.declarations.find(
      (each) => each.getStart(source) <= node.getStart(source) && node.getEnd() <= each.getEnd(),
    );
    return declaration?.name.getText(source) ?? '';
  }
  const { name } = /** @type {DeclarationStatement} */ (top);
  return name?.getText(source) ?? '';
}

/** @param {string} text */
function oneLine(text) {
  return text.replaceAll(/\s+/g, ' ');
}
