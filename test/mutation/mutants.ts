import { parseAst } from 'vitest/node';

/** One change to a source file that a test should notice. */
export interface Mutant {
  /** Path from the root of the repository. */
  readonly file: string;
  readonly line: number;
  readonly operator: string;
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
  /** The expression or statement around it that can be chosen instead of the unchanged one while tests run. */
  readonly span?: Span;
}

export interface Span {
  readonly start: number;
  readonly end: number;
  readonly isStatement: boolean;
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [member: string]: unknown;
}

/** What a comparison becomes: the boundary moved, and the opposite. */
const COMPARISONS: ReadonlyMap<unknown, readonly string[]> = new Map([
  ['<', ['<=', '>=']],
  ['<=', ['<', '>']],
  ['>', ['>=', '<=']],
  ['>=', ['>', '<']],
  ['===', ['!==']],
  ['!==', ['===']],
]);
const METHODS: ReadonlyMap<unknown, string> = new Map([
  ['some', 'every'],
  ['every', 'some'],
]);
/** Calls whose arguments are words for people: what they say is not what decides. */
const WORDS =
  /^(?:BullaError|malformed|unsupported|un\w+|no[A-Z]\w*|not[A-Z]\w*|bad\w+|invalid|refus\w*|fail)$/;

/**
 * Every mutant of a source file, in the functions that refuse something (they throw, or answer with a
 * boolean or undefined) and in the lists at its top. Heads of loops are left alone: most of their mutants
 * never end.
 */
export function mutantsOf(file: string, source: string): Mutant[] {
  const mutants: Mutant[] = [];
  const add: Add = ({ start, end }, operator, replacement, whole = { start, end }) => {
    const line = source.slice(0, start).split('\n').length;
    const span = { start: whole.start, end: whole.end, isStatement: replacement === ';' };
    mutants.push({ file, line, operator, start, end, replacement, span });
  };
  const text = (node: Node): string => source.slice(node.start, node.end);
  const visit = (node: Node, refuses: boolean): void => {
    if (isType(node)) return;
    if (isFunction(node)) {
      const inside = refusesSomething(node, text(node));
      for (const child of childrenOf(node)) visit(child, inside);
      return;
    }
    if (node.type === 'ThrowStatement') {
      if (refuses) add(node, 'drop the refusal', ';');
      return;
    }
    if (isWords(node)) return;
    if (refuses) mutate(node, text, add);
    else if (node.type === 'ArrayExpression') dropElements(node, text, add);
    const loop = ['ForStatement', 'WhileStatement', 'DoWhileStatement'].includes(node.type);
    for (const child of childrenOf(node)) {
      if (loop && child !== node['body']) continue;
      visit(child, refuses);
    }
  };
  visit(parseAst(source, { lang: 'ts' }) as unknown as Node, false);
  return mutants;
}

type Range = Pick<Node, 'start' | 'end'>;
type Add = (range: Range, operator: string, replacement: string, whole?: Range) => void;

function mutate(node: Node, text: (node: Node) => string, add: Add): void {
  switch (node.type) {
    case 'IfStatement': {
      const test = node['test'] as Node;
      if (!hasOwnOpposite(test)) add(test, 'negate the condition', `!(${text(test)})`);
      add(test, 'never', 'false');
      return;
    }
    case 'ConditionalExpression': {
      const test = node['test'] as Node;
      if (!hasOwnOpposite(test)) add(test, 'negate the condition', `!(${text(test)})`);
      return;
    }
    case 'BinaryExpression': {
      const [left, right] = [node['left'] as Node, node['right'] as Node];
      const operator = String(node['operator']);
      // Only the operator: brackets around either side are no part of it.
      const start = left.end + text({ ...node, start: left.end, end: right.start }).indexOf(operator);
      for (const other of COMPARISONS.get(operator) ?? [])
        add({ start, end: start + operator.length }, `${operator} to ${other}`, other, node);
      return;
    }
    case 'LogicalExpression': {
      const [left, right] = [node['left'] as Node, node['right'] as Node];
      const other = { '&&': '||', '||': '&&' }[String(node['operator'])];
      if (other === undefined) return;
      // Each side in brackets, so that the other operator binds as this one did.
      add(node, `${String(node['operator'])} to ${other}`, `((${text(left)}) ${other} (${text(right)}))`);
      return;
    }
    case 'UnaryExpression':
      if (node['operator'] === '!') add(node, 'drop !', `(${text(node['argument'] as Node)})`);
      return;
    case 'ReturnStatement': {
      const value = node['argument'] as Node | null;
      if (value?.type !== 'Literal' || typeof value['value'] !== 'boolean') return;
      add(value, 'the other answer', String(!value['value']));
      return;
    }
    case 'Literal':
      if (typeof node['value'] === 'number') add(node, 'shift the boundary', String(node['value'] + 1));
      return;
    case 'CallExpression': {
      const callee = node['callee'] as Node;
      const property = callee['property'] as Node | undefined;
      const other = METHODS.get(property?.['name']);
      if (property !== undefined && other !== undefined) add(property, `to ${other}`, other, node);
      return;
    }
    case 'ExpressionStatement': {
      const { type } = node['expression'] as Node;
      if (type === 'CallExpression') add(node, 'drop the call', ';');
      return;
    }
    default:
      return;
  }
}

/** Whether another operator makes the opposite of it anyway. */
function hasOwnOpposite(test: Node): boolean {
  return test.type === 'UnaryExpression' || COMPARISONS.has(test['operator']);
}

/** Of lists of what is taken or refused, each of the first few elements once. */
function dropElements(node: Node, text: (node: Node) => string, add: Add): void {
  const elements = node['elements'] as readonly (Node | null)[];
  if (elements.length < 2 || elements.some((element) => element?.type === 'SpreadElement')) return;
  for (const [at] of elements.entries()) {
    const kept = elements.flatMap((element, other) =>
      element === null || other === at ? [] : [text(element)],
    );
    add(node, `drop element ${at}`, `[${kept.join(', ')}]`);
  }
}

function isType(node: Node): boolean {
  return node.type.startsWith('TS') && !/^TS(?:As|NonNull|Satisfies)/.test(node.type);
}

function isFunction(node: Node): boolean {
  return /^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type);
}

function refusesSomething(node: Node, source: string): boolean {
  const body = node['body'] as Node | null;
  const isPredicate = node.type === 'ArrowFunctionExpression' && body?.type !== 'BlockStatement';
  return isPredicate || /\bthrow\b|\breturn (?:true|false|undefined|!)|: boolean|\breturn \[\]/.test(source);
}

function isWords(node: Node): boolean {
  if (node.type === 'TemplateLiteral') return true;
  if (node.type !== 'CallExpression' && node.type !== 'NewExpression') return false;
  return WORDS.test(String((node['callee'] as Node)['name'] ?? ''));
}

function childrenOf(node: Node): Node[] {
  return Object.values(node)
    .flat()
    .filter((value): value is Node => typeof (value as Node | null)?.type === 'string');
}

/** A generator of numbers from 0 to 1 that gives the same ones for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` of the mutants, chosen by the seed; all of them where there are not more. */
export function sample(mutants: readonly Mutant[], count: number, seed: number): Mutant[] {
  const random = seeded(seed);
  const drawn = mutants.map((mutant) => ({ mutant, order: random() }));
  return drawn
    .sort((a, b) => a.order - b.order)
    .slice(0, count)
    .map(({ mutant }) => mutant);
}
