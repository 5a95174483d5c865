/** Finds out which places of a source a test executes: a mutant that a test never reaches need not be tried on it. */
import { ts } from './typescript.js';

/** @import { Node } from 'typescript' */

const S = ts.SyntaxKind;
const BLOCKS = new Set([S.SourceFile, S.Block, S.CaseClause, S.DefaultClause]);
const LOGICAL = new Set([S.AmpersandAmpersandToken, S.BarBarToken, S.QuestionQuestionToken]);

/**
 * How a probe is put before a node; undefined where none is needed, for whatever is around it tells enough.
 *
 * @param {Node} node
 * @returns {'statement' | 'only statement' | 'expression' | undefined}
 */
export function probeKind(node) {
  const { parent } = node;
  if (parent === undefined) return undefined;
  if (ts.isStatement(node) && !ts.isBlock(node) && !ts.isImportDeclaration(node)) {
    if (ts.isFunctionDeclaration(node)) return undefined;
    if (BLOCKS.has(parent.kind)) return 'statement';
    return ts.isIfStatement(parent) || ts.isIterationStatement(parent, false) ? 'only statement' : undefined;
  }
  if (ts.isArrowFunction(parent) && parent.body === node && !ts.isBlock(node)) return 'expression';
  if (ts.isConditionalExpression(parent) && parent.condition !== node && ts.isExpression(node))
    return 'expression';
  if (ts.isBinaryExpression(parent) && parent.right === node && LOGICAL.has(parent.operatorToken.kind))
    return 'expression';
  return undefined;
}

/**
 * @param {string} text TypeScript
 * @param {string} file the first part of the name that each executed place adds to the set `globalThis.reached`
 */
export function probed(text, file) {
  const source = ts.createSourceFile('source.ts', text, ts.ScriptTarget.ES2023, true);
  /** @type {{ at: number, insert: string }[]} */
  const inserts = [];
  /** @param {Node} node */
  const visit = (node) => {
    if (ts.isTypeNode(node)) return;
    const kind = probeKind(node);
    const at = node.getStart(source);
    const call = `globalThis.reached?.add('${file}:${at}')`;
    if (kind === 'statement') inserts.push({ at, insert: `${call};` });
    else if (kind === 'only statement') inserts.push({ at, insert: `{${call};` });
    else if (kind === 'expression') inserts.push({ at, insert: `(${call},` });
    ts.forEachChild(node, visit);
    if (kind === 'only statement') inserts.push({ at: node.getEnd(), insert: '}' });
    else if (kind === 'expression') inserts.push({ at: node.getEnd(), insert: ')' });
  };
  visit(source);
  let result = '';
  let done = 0;
  // In the order of the visit where two are at one place, which nests them.
  for (const { at, insert } of inserts) {
    result += text.slice(done, at) + insert;
    done = at;
  }
  return result + text.slice(done);
}
