import ts from "typescript";

/** A one-line fault: what stands between `start` and `end` of a file becomes `replacement`. */
export interface PlantedFault {
  readonly file: string;
  readonly kind: string;
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
}

type Edit = Omit<PlantedFault, "file">;

/** Every one-line fault that can be planted into a file, in the order of its text. Texts of messages, log lines and durations are left alone. */
export function listFaults(file: string, text: string): PlantedFault[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true);
  const edits: Edit[] = [];
  const visit = (node: ts.Node): void => {
    if (isLeftAlone(node)) return;
    for (const rule of RULES) edits.push(...rule(node));
    ts.forEachChild(node, visit);
  };
  visit(source);
  const onOneLine = edits.filter(({ start, end }) => !text.slice(start, end - 1).includes("\n"));
  return onOneLine.sort((a, b) => a.start - b.start || a.end - b.end).map((edit) => ({ file, ...edit }));
}

/** The file's text with the fault in it. */
export function plant(text: string, { start, end, replacement }: PlantedFault): string {
  return text.slice(0, start) + replacement + text.slice(end);
}

const COMPARISONS: ReadonlyMap<string, string> = new Map([
  ["===", "!=="],
  ["!==", "==="],
  ["<", ">="],
  [">=", "<"],
  [">", "<="],
  ["<=", ">"],
  ["&&", "||"],
  ["||", "&&"],
]);
/** A call of one of these can be left out: its list or text stays as it was. */
const DROPPED = new Set(["filter", "sort", "toSorted", "slice", "reverse", "toReversed", "trim", "trimEnd"]);
const SWAPPED: ReadonlyMap<string, string> = new Map([
  ["some", "every"],
  ["every", "some"],
  ["min", "max"],
  ["max", "min"],
]);

const RULES: readonly ((node: ts.Node) => Edit[])[] = [
  flipOperator,
  negateCondition,
  dropNegation,
  changeConstant,
  removeStatement,
  dropCall,
  removeElement,
  removeLine,
];

function flipOperator(node: ts.Node): Edit[] {
  if (!ts.isBinaryExpression(node)) return [];
  const { operatorToken, right } = node;
  if (operatorToken.kind === ts.SyntaxKind.QuestionQuestionToken) {
    if (isEmpty(right)) return [replaced("always the default", node, right.getText())];
    return [{ kind: "default dropped", start: node.left.getEnd(), end: right.getEnd(), replacement: "" }];
  }
  const other = COMPARISONS.get(operatorToken.getText());
  if (other === undefined) return [];
  return [{ kind: "operator flipped", start: operatorToken.getStart(), end: operatorToken.getEnd(), replacement: other }];
}

/** A default that is nothing often stands for the type checker alone, and without it the program does the same. */
function isEmpty(node: ts.Expression): boolean {
  return /^(0|""|null|\[\]|\{\})$/.test(node.getText());
}

function negateCondition(node: ts.Node): Edit[] {
  if (!ts.isIfStatement(node) && !ts.isConditionalExpression(node)) return [];
  const condition = ts.isIfStatement(node) ? node.expression : node.condition;
  return [replaced("condition negated", condition, `!(${condition.getText()})`)];
}

function dropNegation(node: ts.Node): Edit[] {
  if (!ts.isPrefixUnaryExpression(node) || node.operator !== ts.SyntaxKind.ExclamationToken) return [];
  return [replaced("negation dropped", node, node.operand.getText())];
}

function changeConstant(node: ts.Node): Edit[] {
  if (node.kind === ts.SyntaxKind.TrueKeyword && !ts.isLiteralTypeNode(node.parent)) return [replaced("constant changed", node, "false")];
  if (node.kind === ts.SyntaxKind.FalseKeyword && !ts.isLiteralTypeNode(node.parent)) return [replaced("constant changed", node, "true")];
  if (!ts.isNumericLiteral(node) || ts.isLiteralTypeNode(node.parent)) return [];
  if (isUnit(node)) return [replaced("unit lost", node, "1")];
  if (isDuration(node) || isSign(node)) return [];
  return [replaced("constant changed", node, String(Number(node.text) + 1))];
}

/** What changes one unit into another: a thousandth more is no fault that anybody makes. */
function isUnit(node: ts.NumericLiteral): boolean {
  const isFactor = ts.isBinaryExpression(node.parent) && /^[*/]$/.test(node.parent.operatorToken.getText());
  return isFactor && /^(1000|1024|1000000)$/.test(node.getText().replaceAll("_", ""));
}

/** Of what compares two things only the sign counts. */
function isSign(node: ts.NumericLiteral): boolean {
  const choice = ts.isPrefixUnaryExpression(node.parent) ? node.parent.parent : node.parent;
  return ts.isConditionalExpression(choice) && [choice.whenTrue, choice.whenFalse].some((branch) => branch.getText() === "-1");
}

function removeStatement(node: ts.Node): Edit[] {
  if (ts.isExpressionStatement(node) && ts.isBlock(node.parent)) return [replaced("statement removed", node, "")];
  const isGuard = ts.isIfStatement(node) && node.elseStatement === undefined && ts.isBlock(node.parent);
  return isGuard ? [replaced("statement removed", node, "")] : [];
}

function dropCall(node: ts.Node): Edit[] {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return [];
  const { expression, name } = node.expression;
  if (DROPPED.has(name.text)) return [{ kind: `${name.text} dropped`, start: expression.getEnd(), end: node.getEnd(), replacement: "" }];
  const other = SWAPPED.get(name.text);
  return other === undefined ? [] : [replaced(`${name.text} swapped`, name, other)];
}

/** An element of a list of things to do, to write or to compare. */
function removeElement(node: ts.Node): Edit[] {
  if (!ts.isArrayLiteralExpression(node) || node.elements.length < 2 || isDuration(node)) return [];
  return node.elements.map((element, index) => {
    const next = node.elements[index + 1];
    const end = next === undefined ? element.getEnd() : next.getStart();
    return { kind: "element removed", start: element.getStart(), end, replacement: "" };
  });
}

/** A line of a text of several, for example of a rendered configuration. */
function removeLine(node: ts.Node): Edit[] {
  if (!ts.isTemplateExpression(node) && !ts.isNoSubstitutionTemplateLiteral(node)) return [];
  const text = node.getText();
  const start = node.getStart();
  const spans = ts.isTemplateExpression(node)
    ? node.templateSpans.map(({ expression }) => [expression.getStart() - start, expression.getEnd() - start] as const)
    : [];
  const edits: Edit[] = [];
  for (const { index, 0: line } of text.matchAll(/(?<=\n)[^\n]*\n/g)) {
    const end = index + line.length;
    if (/^\s*($|#|\/\/|[}\])])/.test(line)) continue;
    if (spans.some(([from, to]) => to > index && from < end && (from < index || to > end))) continue;
    edits.push({ kind: "line removed", start: start + index, end: start + end, replacement: "" });
  }
  return edits;
}

function replaced(kind: string, node: ts.Node, replacement: string): Edit {
  return { kind, start: node.getStart(), end: node.getEnd(), replacement };
}

/** Types, imports, log lines, and the words of faults: nothing there is a fault of a server. */
function isLeftAlone(node: ts.Node): boolean {
  if (ts.isImportDeclaration(node) || ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node))
    return true;
  if (ts.isNewExpression(node) && node.expression.getText() === "Fault") return true;
  if (ts.isIfStatement(node)) return node.elseStatement === undefined && isLoggedAlone(node.thenStatement);
  if (ts.isExpressionStatement(node)) return isLogged(node);
  return false;
}

function isLoggedAlone(then: ts.Statement): boolean {
  if (!ts.isBlock(then)) return isLogged(then);
  const [first, ...others] = then.statements;
  return first !== undefined && others.length === 0 && isLogged(first);
}

function isLogged(node: ts.Node): boolean {
  return /^(void |await |return )?(this\.#?|options\.|context\.)*#?log\b/.test(node.getText());
}

/** How long something may take is nobody's promise: a test would have to wait for it. */
function isDuration(node: ts.Node): boolean {
  for (let at: ts.Node | undefined = node; at !== undefined && !ts.isStatement(at); at = at.parent) {
    const name =
      ts.isVariableDeclaration(at) || ts.isPropertyAssignment(at) || ts.isParameter(at) || ts.isPropertyDeclaration(at)
        ? at.name.getText()
        : "";
    if (/(Ms|_MS|[sS]econds|_SECONDS|[tT]imeout|TIMEOUT)$/.test(name)) return true;
    if (ts.isCallExpression(at) && /(^|\.)(timeout|sleep|setTimeout|toString)$/.test(at.expression.getText())) return true;
  }
  return false;
}
