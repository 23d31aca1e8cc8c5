import { isDeepStrictEqual } from 'node:util';
import type { JsonObject, JsonValue } from '../../encoding/json.ts';
import type { KeylessDocument, PolicyDocument, RuleDocument, SignatureDocument } from '../file/schema.ts';

/** What a policy of another tool comes to. */
export interface ImportedPolicy {
  readonly policy: PolicyDocument;
  /** What differs, or could not be carried over, in the order of the source. */
  readonly notes: readonly string[];
}

/** Files that a policy of another tool names by a directory or a name. */
export interface ImportFiles {
  /** Paths of the certificates in a trust store of Notation; empty where there is no such store. */
  readonly trustStore: (type: string, name: string) => Promise<readonly string[]>;
}

/** What a rule demands of every image in its scope; each kind as it stands in a policy file. */
export type Verdict = Pick<
  RuleDocument,
  'allow' | 'deny' | 'trust' | 'notary' | 'signatures' | 'attestations'
>;

/**
 * A policy in the making. What is not understood denies: a rule that is lost could let a wider rule decide, and a
 * demand that is lost accepts more than before.
 */
export class Draft {
  private readonly rules = new Map<string, RuleDocument>();
  private readonly notes: string[] = [];

  note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text);
  }

  /** Adds a rule. Of two rules for one scope both must be satisfied, so that a denial stays. */
  add(scope: string, verdict: Verdict, mode?: 'enforce' | 'audit'): void {
    const present = this.rules.get(scope);
    const merged = present === undefined ? verdict : both(present, verdict);
    // Enforced as soon as one of them is.
    const kept = present === undefined ? mode : present.mode === mode ? mode : 'enforce';
    this.rules.set(scope, { scope, ...(kept !== undefined && { mode: kept }), ...merged });
  }

  /** A scope whose demands cannot be carried over. */
  deny(scope: string, why: string): void {
    this.note(`${scope}: ${why}; it is denied here until you write the rule`);
    this.add(scope, { deny: `not carried over: ${why}` });
  }

  finish(mode?: 'enforce' | 'audit'): ImportedPolicy {
    const rules = [...this.rules.values()];
    return { policy: { version: 1, ...(mode !== undefined && { mode }), rules }, notes: this.notes };
  }
}

function both(one: Verdict, other: Verdict): Verdict {
  const deny = one.deny ?? other.deny;
  if (deny !== undefined) return { deny };
  if (one.allow !== undefined) return verdictOf(other);
  if (other.allow !== undefined) return verdictOf(one);
  const [name, otherName] = [one.trust ?? one.notary, other.trust ?? other.notary];
  if (name !== undefined && otherName !== undefined && !isDeepStrictEqual(name, otherName))
    return { deny: 'not carried over: two rules for one place demand different signed names' };
  const signatures = [...(one.signatures ?? []), ...(other.signatures ?? [])];
  const attestations = [...(one.attestations ?? []), ...(other.attestations ?? [])];
  const [trust, notary] = [one.trust ?? other.trust, one.notary ?? other.notary];
  return {
    ...(trust !== undefined && { trust }),
    ...(notary !== undefined && { notary }),
    ...(signatures.length > 0 && { signatures }),
    ...(attestations.length > 0 && { attestations }),
  };
}

function verdictOf({ allow, deny, trust, notary, signatures, attestations }: Verdict): Verdict {
  return {
    ...(allow !== undefined && { allow }),
    ...(deny !== undefined && { deny }),
    ...(trust !== undefined && { trust }),
    ...(notary !== undefined && { notary }),
    ...(signatures !== undefined && { signatures }),
    ...(attestations !== undefined && { attestations }),
  };
}

/** One requirement that any of several signers satisfies; undefined where their members would mix. */
export function anyOf(
  demands: readonly SignatureDocument[],
  threshold: number,
): SignatureDocument | undefined {
  const [first] = demands;
  if (first === undefined) return undefined;
  if (demands.length === 1 && threshold === 1) return first;
  const shared = (demand: SignatureDocument): string =>
    JSON.stringify([
      demand.transparency,
      demand.timestamp,
      demand.annotations,
      demand.trustedRoot,
      demand.threshold,
      demand.timestampAuthorities,
    ]);
  if (demands.some((demand) => shared(demand) !== shared(first))) return undefined;
  // Identities restrict all authorities of a requirement, so those of one would be taken for those of another.
  const restricted = new Set(
    demands
      .filter(({ authorities }) => authorities !== undefined)
      .map(({ identities }) => JSON.stringify(identities)),
  );
  if (restricted.size > 1) return undefined;
  // Each of them counts once; two signers of one authority, or two keys of one entry, would count twice.
  if (threshold > 1 && demands.some((one) => one.authorities !== undefined || (one.keys?.length ?? 0) > 1))
    return undefined;
  const keys = demands.flatMap((demand) => demand.keys ?? []);
  const authorities = demands.flatMap((demand) => demand.authorities ?? []);
  const keyless = demands.flatMap((demand) => demand.keyless ?? []);
  const { identities } = demands.find((demand) => demand.authorities !== undefined) ?? {};
  return {
    ...first,
    ...(keys.length > 0 && { keys }),
    ...(authorities.length > 0 && { authorities }),
    ...(keyless.length > 0 && { keyless }),
    ...(identities !== undefined && { identities }),
    ...(threshold > 1 && { threshold }),
  };
}

/** Members of documents that others wrote. */
export const listIn = (object: JsonObject, name: string): readonly JsonValue[] => {
  const value = object[name];
  return Array.isArray(value) ? value : [];
};
export const objectsIn = (object: JsonObject, name: string): readonly JsonObject[] =>
  listIn(object, name).filter(
    (one): one is JsonObject => typeof one === 'object' && one !== null && !Array.isArray(one),
  );
export const objectAt = (object: JsonObject, name: string): JsonObject => {
  const value = object[name];
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
};
export const textAt = (object: JsonObject, name: string): string | undefined => {
  const value = object[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
};
export const textsIn = (object: JsonObject, name: string): readonly string[] =>
  listIn(object, name).filter((one): one is string => typeof one === 'string');

/** Members beyond those that are understood. */
export function unknownIn(object: JsonObject, known: readonly string[]): readonly string[] {
  return Object.keys(object).filter((name) => !known.includes(name));
}

/** A subject, exactly or by an expression for the whole value. */
type Who = { readonly identity: string } | { readonly identityRegexp: string };

/**
 * A keyless identity: `subject` and `issuer`, each exactly or as an expression that matched anywhere.
 * @param ending of the members with expressions: `subjectRegExp`, `issuerRegExp`
 * @param exactly what a subject means that is not an expression
 * @returns undefined where one is missing, or given in both ways: the other tool may demand both
 */
export function identityIn(
  document: JsonObject,
  ending: 'Regex' | 'RegExp',
  exactly: (subject: string) => Who = (identity) => ({ identity }),
): KeylessDocument | undefined {
  const [subject, subjectPattern] = [textAt(document, 'subject'), textAt(document, `subject${ending}`)];
  const [issuer, issuerPattern] = [textAt(document, 'issuer'), textAt(document, `issuer${ending}`)];
  const isOne = (one: unknown, other: unknown): boolean => (one === undefined) !== (other === undefined);
  if (!isOne(subject, subjectPattern) || !isOne(issuer, issuerPattern)) return undefined;
  const who =
    subject === undefined ? { identityRegexp: anywhere(subjectPattern as string) } : exactly(subject);
  const by = issuer === undefined ? { issuerRegexp: anywhere(issuerPattern as string) } : { issuer };
  return { ...who, ...by };
}

/** An expression that matched anywhere, for one that must match the whole value. */
function anywhere(expression: string): string {
  const begin = expression.startsWith('^') ? expression.slice(1) : `.*${expression}`;
  return begin.endsWith('$') && !begin.endsWith('\\$') ? begin.slice(0, -1) : `${begin}.*`;
}

/** PEM as it stands in a policy: one line of text per line, with its end. */
export function pem(text: string): string {
  return `${text.trim()}\n`;
}

const HUB_HOSTS = ['index.docker.io', 'registry-1.docker.io'];

/**
 * The scope of a pattern with `*` at its end, after `/`; undefined where the pattern says something else, such as a
 * part of a name or a tag.
 */
export function scopeOf(pattern: string): string | undefined {
  if (pattern === '*' || pattern === '**') return '*';
  const plain = pattern.replace(/\/\*\*$/, '/*');
  const [host = '', ...path] = plain.split('/');
  const name = path.join('/').replace(/\/?\*$/, '');
  const isWhole = plain.endsWith('/*') || !plain.includes('*');
  const isHost = /^[a-z0-9.-]+(?::\d+)?$/i.test(host) && (/[.:]/.test(host) || host === 'localhost');
  if (!isWhole || !isHost || path.length === 0 || /[*?[\]{}@:]/.test(name) || !/^[a-z0-9._/-]*$/.test(name))
    return undefined;
  const canonical = HUB_HOSTS.includes(host.toLowerCase()) ? 'docker.io' : host.toLowerCase();
  return [canonical, ...path].join('/').replace(/\/\*\*$/, '/*');
}

/** The narrowest scope that holds all that a pattern can match: what is denied where the pattern cannot be said. */
export function scopeAround(pattern: string): string {
  const parts = pattern.split('/');
  for (let kept = parts.length - 1; kept > 0; kept--) {
    const scope = scopeOf(`${parts.slice(0, kept).join('/')}/*`);
    if (scope !== undefined) return scope;
  }
  return '*';
}
