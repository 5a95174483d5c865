/** Makes mutants of a source text: small changes, each of which some test must notice. */
import { probeKind } from './probes.js';
import { ts } from './typescript.js';

/** @import { Node } from 'typescript' */

/**
 * @typedef {object} Mutant
 * @property {number} start first character that is replaced
 * @property {number} end
 * @property {string} replacement
 * @property {string} was the text that is replaced
 * @property {number} line
 * @property {number} place where the nearest probe around it is; 0: everything that imports the file reaches it
 */

const S = ts.SyntaxKind;

/** What each operator might have been by mistake. */
const OPERATORS = new Map([
  [S.LessThanToken, ['<=', '>=']],
  [S.LessThanEqualsToken, ['<', '>']],
  [S.GreaterThanToken, ['>=', '<=']],
  [S.GreaterThanEqualsToken, ['>', '<']],
  [S.EqualsEqualsEqualsToken, ['!==']],
  [S.ExclamationEqualsEqualsToken, ['===']],
  [S.PlusToken, ['-']],
  [S.MinusToken, ['+']],
  [S.AsteriskToken, ['/']],
  [S.SlashToken, ['*']],
  [S.PercentToken, ['*']],
  [S.AmpersandToken, ['|']],
  [S.BarToken, ['&']],
  [S.LessThanLessThanToken, ['>>']],
  [S.GreaterThanGreaterThanGreaterThanToken, ['<<']],
  [S.AmpersandAmpersandToken, ['||']],
  [S.BarBarToken, ['&&']],
  [S.PlusEqualsToken, ['-=']],
  [S.MinusEqualsToken, ['+=']],
  [S.BarEqualsToken, ['&=']],
]);

/**
 * @param {string} text TypeScript
 * @returns {Mutant[]} in the order of the text; messages, types and imports are left alone
 */
export function mutantsOf(text) {
  const source = ts.createSourceFile('source.ts', text, ts.ScriptTarget.ES2023, true);
  /** @type {Mutant[]} */
  const mutants = [];

  let place = 0;
  /** @param {Node} node @param {string} replacement */
  const put = (node, replacement) => {
    const [start, end] = [node.getStart(source), node.getEnd()];
    const line = source.getLineAndCharacterOfPosition(start).line + 1;
    mutants.push({ start, end, replacement, was: text.slice(start, end), line, place });
  };

  /** @param {Node} node */
  const visit = (node) => {
    if (ts.isImportDeclaration(node) || ts.isTypeNode(node) || ts.isInterfaceDeclaration(node)) return;
    // Words for people are not what guards data.
    if (ts.isTemplateExpression(node)) return;
    const around = place;
    if (probeKind(node) !== undefined) place = node.getStart(source);
    if (ts.isBinaryExpression(node)) {
      for (const operator of OPERATORS.get(node.operatorToken.kind) ?? []) put(node.operatorToken, operator);
    } else if (ts.isNumericLiteral(node) && (node.text === '0' || node.text === '1')) {
      // Other numbers are the format's own, and tests that read real images would notice.
      put(node, node.text === '0' ? '1' : '0');
    } else if (node.kind === S.TrueKeyword) {
      put(node, 'false');
    } else if (node.kind === S.FalseKeyword) {
      put(node, 'true');
    } else if (ts.isPrefixUnaryExpression(node) && node.operator === S.ExclamationToken) {
      put(node, node.operand.getText(source));
    } else if (ts.isIfStatement(node)) {
      put(node.expression, 'true');
      put(node.expression, 'false');
    } else if (ts.isConditionalExpression(node)) {
      put(node.condition, 'true');
      put(node.condition, 'false');
    } else if (ts.isExpressionStatement(node)) {
      put(node, ';');
    } else if (ts.isReturnStatement(node) && node.expression === undefined) {
      put(node, ';');
    } else if (ts.isContinueStatement(node) || ts.isBreakStatement(node)) {
      if (!ts.isCaseClause(node.parent)) put(node, ';');
    } else if (ts.isPropertyAccessExpression(node) && EXTREMES.has(node.getText(source))) {
      put(node, /** @type {string} */ (EXTREMES.get(node.getText(source))));
    }
    ts.forEachChild(node, visit);
    place = around;
  };
  visit(source);
  return mutants;
}

const EXTREMES = new Map([
  ['Math.min', 'Math.max'],
  ['Math.max', 'Math.min'],
  ['Math.floor', 'Math.ceil'],
  ['Math.ceil', 'Math.floor'],
]);

/** @param {string} text @param {Mutant} mutant */
export function applied(text, { start, end, replacement }) {
  return text.slice(0, start) + replacement + text.slice(end);
}
