import { type Document, isMap, LineCounter, type Node, parseDocument } from 'yaml';
import { issuesText } from '../../encoding/zod-issues.ts';
import { BullaError, messageOf } from '../../errors.ts';
import { mistakesIn } from './mistakes.ts';
import { type PolicyDocument, policySchema } from './schema.ts';

/** Mistakes that are told at once. */
const MAX_TOLD = 20;

/** A mistake in a policy file, and where it stands: line and column count from 1. */
export interface PolicyMistake {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/**
 * Reads a policy file, YAML or JSON (spec/policy.md). Nothing that it names is read.
 * @param where names the file in messages
 * @throws BullaError policy-invalid; its details list every mistake with line and column
 */
export function parsePolicy(source: string, where: string): PolicyDocument {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, uniqueKeys: true, logLevel: 'error' });
  const broken = document.errors.map((error) => ({
    ...positionOf(lines, error.pos[0]),
    message: (error.message.split('\n', 1)[0] ?? '').replace(/ at line .*$/, ''),
  }));
  if (broken.length > 0) throw invalid(where, broken);
  const at = (path: readonly PropertyKey[]): Pick<PolicyMistake, 'line' | 'column'> =>
    positionOf(lines, offsetOf(document, path));
  const parsed = policySchema.safeParse(plain(document, where));
  if (!parsed.success) {
    throw invalid(
      where,
      parsed.error.issues.map((issue) => ({
        ...at(issue.path),
        message: issuesText({ issues: [issue] } as unknown as typeof parsed.error),
      })),
    );
  }
  const mistakes = mistakesIn(parsed.data).map(({ path, message }) => ({ ...at(path), message }));
  if (mistakes.length > 0) throw invalid(where, mistakes);
  return parsed.data;
}

/** Aliases would let a small file become a large one. */
function plain(document: Document, where: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 }) ?? {};
  } catch (cause) {
    throw invalid(where, [{ line: 1, column: 1, message: messageOf(cause) }], cause);
  }
}

/** Where a member stands; of one that is missing, what it is missing in. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const part = path.slice(0, length);
    const parent = document.getIn(part.slice(0, -1), true) as Node | undefined;
    const pair = isMap(parent)
      ? parent.items.find(
          ({ key }) => String((key as { value?: unknown }).value ?? key) === String(part.at(-1)),
        )
      : undefined;
    const range =
      (pair?.key as Node | undefined)?.range ?? (document.getIn(part, true) as Node | undefined)?.range;
    if (range !== undefined && range !== null) return range[0];
  }
  return document.contents?.range?.[0] ?? 0;
}

function positionOf(lines: LineCounter, offset: number): Pick<PolicyMistake, 'line' | 'column'> {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

function invalid(where: string, mistakes: readonly PolicyMistake[], cause?: unknown): BullaError {
  const told = mistakes
    .slice(0, MAX_TOLD)
    .map(({ line, column, message }) => `${line}:${column}: ${message}`);
  const rest = mistakes.length - told.length;
  return new BullaError(
    'policy-invalid',
    `${where} is not a valid policy: ${told.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`,
    {
      cause,
      hint: 'correct the file; spec/policy.md describes what it may hold: bulla policy check FILE',
      details: { mistakes },
    },
  );
}
