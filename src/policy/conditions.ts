import { isJsonObject, type JsonObject, type JsonValue } from '../encoding/json.ts';
import { parseDuration, parseTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';

/** Most values that one path may lead to. */
export const MAX_PATH_VALUES = 10_000;
/** Longest text that an expression is tried on, in characters: a hostile one must not take long. */
export const MAX_MATCHED_CHARACTERS = 4096;
const MAX_SHOWN_VALUE = 120;

type Scalar = string | number | boolean | null;

/** What a value in a predicate must be (spec/policy.md, "Conditions"). All members that are there must hold. */
export interface ConditionDocument {
  /** `runDetails.builder.id`, `subjects[0].name`, `verifiedLevels[*]`, `labels["a.b"]`. */
  readonly path: string;
  /** One value suffices; every value must fulfil the condition if left out. */
  readonly some?: boolean | undefined;
  readonly exists?: boolean | undefined;
  readonly equals?: Scalar | undefined;
  readonly in?: readonly Scalar[] | undefined;
  readonly matches?: string | undefined;
  readonly atLeast?: number | string | undefined;
  readonly atMost?: number | string | undefined;
  readonly lessThan?: number | string | undefined;
  readonly greaterThan?: number | string | undefined;
  /** A duration: the value is a time that is no longer ago, and not in the future. */
  readonly maxAge?: string | undefined;
}

/** A condition that was read. */
export interface Condition {
  readonly path: string;
  /** Why a predicate does not fulfil it; undefined if it does. */
  unmet(predicate: JsonObject, now: Date): string | undefined;
  /** For people: `runDetails.builder.id equals "x"`. */
  readonly text: string;
}

type Step = { readonly name: string } | { readonly index: number } | 'every';
type Test = (value: JsonValue, now: Date) => boolean;

/**
 * Reads a condition.
 * @throws BullaError policy-invalid
 */
export function parseCondition(document: ConditionDocument): Condition {
  const { path, some = false, exists } = document;
  const steps = parsePath(path);
  const tests = testsOf(document);
  if (exists === undefined && tests.length === 0)
    throw invalid(path, 'says nothing about the value: add exists, equals, in, matches, or a comparison');
  if (exists === false && tests.length > 0) throw invalid(path, 'cannot be missing and have a value');
  const wanted = [
    ...(exists === undefined ? [] : [exists ? 'exists' : 'is missing']),
    ...tests.map(({ text }) => text),
  ];
  const text = `${path} ${some ? '(one of) ' : ''}${wanted.join(' and ')}`;
  return {
    path,
    text,
    unmet(predicate, now) {
      const found = valuesAt(predicate, steps);
      if (found === undefined) return `${path} leads to more than ${MAX_PATH_VALUES} values`;
      const { values, isPartial } = found;
      if (exists === false) return values.length === 0 ? undefined : `${path} exists`;
      if (values.length === 0) return `${path} is missing`;
      if (isPartial && !some) return `${path} is missing in some elements`;
      const isMet = (value: JsonValue): boolean => tests.every(({ test }) => test(value, now));
      if (some ? values.some(isMet) : values.every(isMet)) return undefined;
      const shown = values.find((value) => !isMet(value));
      return `${path} is ${JSON.stringify(shown).slice(0, MAX_SHOWN_VALUE)}`;
    },
  };
}

interface NamedTest {
  readonly text: string;
  readonly test: Test;
}

function testsOf(document: ConditionDocument): readonly NamedTest[] {
  const { path, equals, in: list, matches, maxAge } = document;
  const tests: NamedTest[] = [];
  if (equals !== undefined)
    tests.push({ text: `equals ${JSON.stringify(equals)}`, test: (value) => value === equals });
  if (list !== undefined)
    tests.push({
      text: `is one of ${JSON.stringify(list)}`,
      test: (value) => list.includes(value as Scalar),
    });
  if (matches !== undefined) {
    const expression = expressionOf(path, matches);
    tests.push({
      text: `matches ${matches}`,
      test: (value) =>
        typeof value === 'string' && value.length <= MAX_MATCHED_CHARACTERS && expression.test(value),
    });
  }
  for (const [name, holds] of COMPARISONS) {
    const operand = document[name];
    if (operand === undefined) continue;
    const bound = comparable(operand);
    if (bound === undefined)
      throw invalid(path, `has ${name}: ${JSON.stringify(operand)}, neither a number nor a time`);
    tests.push({
      text: `${WORDS[name]} ${operand}`,
      test: (value) => {
        const found = comparable(value);
        return found !== undefined && found.kind === bound.kind && holds(found.value, bound.value);
      },
    });
  }
  if (maxAge !== undefined) {
    const age = parseDuration(maxAge);
    if (age === undefined)
      throw invalid(path, `has maxAge: ${JSON.stringify(maxAge)}, which is not a duration`);
    tests.push({
      text: `is no older than ${maxAge}`,
      test: (value, now) => {
        const time = typeof value === 'string' ? parseTime(value) : undefined;
        return time !== undefined && time <= now && now.getTime() - time.getTime() <= age;
      },
    });
  }
  return tests;
}

type Comparison = 'atLeast' | 'atMost' | 'lessThan' | 'greaterThan';

const COMPARISONS: readonly (readonly [Comparison, (found: number, bound: number) => boolean])[] = [
  ['atLeast', (found, bound) => found >= bound],
  ['atMost', (found, bound) => found <= bound],
  ['lessThan', (found, bound) => found < bound],
  ['greaterThan', (found, bound) => found > bound],
];
const WORDS: Readonly<Record<Comparison, string>> = {
  atLeast: 'is at least',
  atMost: 'is at most',
  lessThan: 'is less than',
  greaterThan: 'is greater than',
};

/** Numbers are compared with numbers, and RFC 3339 times with times; nothing else is. */
function comparable(
  value: JsonValue,
): { readonly kind: 'number' | 'time'; readonly value: number } | undefined {
  if (typeof value === 'number') return { kind: 'number', value };
  const time = typeof value === 'string' ? parseTime(value) : undefined;
  return time === undefined ? undefined : { kind: 'time', value: time.getTime() };
}

function expressionOf(path: string, source: string): RegExp {
  try {
    return new RegExp(`^(?:${source})$`, 'u');
  } catch (cause) {
    throw invalid(path, `has matches: ${JSON.stringify(source)}, which is not a regular expression`, cause);
  }
}

const STEP = /\.?([A-Za-z_@$][\w@$-]*)|\[(0|[1-9][0-9]{0,6})\]|\[(\*)\]|\[("(?:[^"\\]|\\.)*")\]/y;

/** A path is names, indexes, `[*]` and quoted names in brackets; a leading `$.` may stand before it. */
function parsePath(text: string): readonly Step[] {
  const path = text.replace(/^\$(?=[.[]|$)/, '').replace(/^\./, '');
  const steps: Step[] = [];
  STEP.lastIndex = 0;
  while (STEP.lastIndex < path.length) {
    const start = STEP.lastIndex;
    const [matched, name, index, every, quoted] = STEP.exec(path) ?? [];
    const hasDot = path[start] === '.';
    if (matched === undefined || (name !== undefined && start > 0 && !hasDot) || (start === 0 && hasDot))
      throw invalid(text, 'is not a path such as runDetails.builder.id, levels[*] or labels["a.b"]');
    if (name !== undefined) steps.push({ name });
    else if (index !== undefined) steps.push({ index: Number(index) });
    else if (every !== undefined) steps.push('every');
    else steps.push({ name: unquoted(text, quoted ?? '""') });
  }
  if (steps.length === 0) throw invalid(text, 'is an empty path');
  return steps;
}

function unquoted(path: string, quoted: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch (cause) {
    throw invalid(path, `has a name that cannot be read: ${quoted}`, cause);
  }
}

/**
 * All values that a path leads to; undefined where they are too many. `isPartial`: after `[*]` some elements lack what
 * the path goes on with. An element that says nothing must not pass as one that says what is demanded.
 */
function valuesAt(
  root: JsonValue,
  steps: readonly Step[],
): { readonly values: readonly JsonValue[]; readonly isPartial: boolean } | undefined {
  let values: readonly JsonValue[] = [root];
  let isPartial = false;
  for (const step of steps) {
    const found = values.map((value) => next(value, step));
    isPartial ||= found.some((each, at) => each.length === 0 && !isEmpty(values[at], step));
    values = found.flat();
    if (values.length > MAX_PATH_VALUES) return undefined;
  }
  return { values, isPartial };
}

/** An empty list lacks nothing. */
function isEmpty(value: JsonValue | undefined, step: Step): boolean {
  return step === 'every' && typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function next(value: JsonValue, step: Step): readonly JsonValue[] {
  if (step === 'every') return Array.isArray(value) ? value : isJsonObject(value) ? Object.values(value) : [];
  const found =
    'index' in step
      ? Array.isArray(value)
        ? value[step.index]
        : undefined
      : isJsonObject(value)
        ? value[step.name]
        : undefined;
  return found === undefined ? [] : [found];
}

function invalid(path: string, why: string, cause?: unknown): BullaError {
  return new BullaError('policy-invalid', `the condition on ${JSON.stringify(path.slice(0, 200))} ${why}`, {
    cause,
    hint: 'spec/policy.md describes conditions',
  });
}
