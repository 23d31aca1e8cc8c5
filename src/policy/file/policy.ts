import type { Certificate } from '../../crypto/certificate.ts';
import { parseIdentity } from '../../crypto/identity.ts';
import { type PublicKey, publicKeyPem } from '../../crypto/public-key.ts';
import { parseDuration } from '../../encoding/time.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { NotaryPin } from '../../notary/pin.ts';
import { predicateType } from '../../signatures/predicates.ts';
import type { IdentityRule } from '../../sigstore/fulcio-identity.ts';
import type { TrustedRoot } from '../../sigstore/trusted-root.ts';
import { collectionUnder, findPin, type PinnedTrust } from '../../trust/read/pin.ts';
import { parseCondition } from '../conditions.ts';
import { type Requirements, type RevocationDemand, requirements } from '../requirements.ts';
import { PUBLISHERS } from './publishers.ts';
import type {
  GateDocument,
  KeylessDocument,
  NotaryDocument,
  PolicyDocument,
  RuleDocument,
  SignatureDocument,
  SourceDocument,
} from './schema.ts';

/** How a refusal is treated: it blocks, or it is only reported. `validate-only`: it blocks, and the gate changes nothing. */
export type PolicyMode = 'enforce' | 'audit' | 'validate-only';

/** A policy with everything that it names, ready to decide. */
export interface Policy {
  readonly rules: readonly PolicyRule[];
  readonly gate?: GateDocument | undefined;
}

/** What holds for one repository, or for all below a prefix. */
export interface PolicyRule {
  /** `HOST/REPOSITORY`, `HOST/PREFIX/*`, `HOST/*`, or `*` for every repository. */
  readonly scope: string;
  /** The included file in which it stands. */
  readonly file?: string | undefined;
  readonly mode: PolicyMode;
  readonly verdict: PolicyVerdict;
}

export type PolicyVerdict =
  | { readonly kind: 'allow'; readonly reason: string }
  | { readonly kind: 'deny'; readonly reason: string }
  | {
      readonly kind: 'verify';
      readonly name?: NameRule;
      /** Never beside `name`. */
      readonly notary?: NotaryRule;
      readonly signatures: readonly SignatureRule[];
    };

/** What a signed name must be like. */
export interface NameRule {
  /** Left out: a pin says whose root keys are trusted. */
  readonly root?: PinnedTrust;
  /** Name that the collection of a repository must carry. */
  readonly collectionOf: (repository: string) => string | undefined;
  readonly at?: string;
  readonly signers: readonly string[];
  /** How many of the signers must have signed the name. */
  readonly threshold: number;
  /** In milliseconds. */
  readonly maxStaleness: number;
  readonly drift: 'warn' | 'reject';
}

/** At which server of Notary v1 a name must be signed, and by whom. */
export interface NotaryRule {
  readonly server: string;
  /** Whose root is trusted; never the first one that is seen. */
  readonly root: NotaryPin;
  /** The globally unique name of a repository. */
  readonly gunOf: (repository: string) => string;
  /** Delegations that must all have signed the name. */
  readonly delegations: readonly string[];
  readonly drift: 'warn' | 'reject';
}

/** What detached signatures must be like; only the time is missing. */
export interface SignatureRule extends Omit<Requirements, 'now' | 'also'> {
  /** Publishers whose keys and identities are among those that are trusted. */
  readonly publishers?: readonly string[] | undefined;
}

/** Reads what a policy names. A text is the path of a file, relative to the policy, or PEM. */
export interface PolicyMaterial {
  keys(source: string): Promise<readonly PublicKey[]>;
  certificates(source: string): Promise<readonly Certificate[]>;
  file(path: string): Promise<Uint8Array>;
  /** The trusted root in a file; of the public-good instance where none is named. */
  trustedRoot(path: string | undefined): Promise<TrustedRoot>;
}

/** A file that a policy includes, and what reads the paths in it. */
export interface IncludedPolicy {
  readonly path: string;
  readonly document: PolicyDocument;
  readonly material: PolicyMaterial;
  readonly included: readonly IncludedPolicy[];
}

/**
 * Makes a policy of its document: reads the keys, certificates and roots that it names.
 * @param included files that were included, and checked along with it ({@link loadPolicy})
 * @throws BullaError policy-invalid for demands that cannot be met; what the material throws
 */
export async function policyOf(
  document: PolicyDocument,
  material: PolicyMaterial,
  included: readonly IncludedPolicy[] = [],
): Promise<Policy> {
  const mode = document.mode ?? 'enforce';
  const rules = await rulesOf({ document, material, included }, mode);
  return { rules, ...(document.gate !== undefined && { gate: document.gate }) };
}

/** The rules of a file and of those that it includes. The mode is that of the whole policy. */
async function rulesOf(
  file: Omit<IncludedPolicy, 'path'> & { readonly path?: string },
  mode: PolicyMode,
): Promise<PolicyRule[]> {
  const { document, material, included, path } = file;
  const sources = { material, sets: setsOf(file) };
  const rules: PolicyRule[] = [];
  for (const rule of document.rules) {
    const verdict = await verdictOf(rule, sources);
    rules.push({
      scope: rule.scope,
      ...(path !== undefined && { file: path }),
      mode: rule.mode ?? mode,
      verdict,
    });
  }
  for (const one of included) rules.push(...(await rulesOf(one, mode)));
  return rules;
}

/** Where the keys and certificates of a file's rules come from. */
interface Sources {
  readonly material: PolicyMaterial;
  /** Its own sets, and those of files that it includes; paths are relative to the file where a set stands. */
  readonly sets: ReadonlyMap<string, readonly SetMember[]>;
}

interface SetMember {
  readonly text: string;
  readonly material: PolicyMaterial;
}

function setsOf({
  document,
  material,
  included,
}: Pick<IncludedPolicy, 'document' | 'material' | 'included'>): Sources['sets'] {
  const own = Object.entries(document.sets ?? {});
  return new Map([
    ...included.flatMap((one) => [...setsOf(one)]),
    ...own.map(([name, texts]) => [name, texts.map((text) => ({ text, material }))] as const),
  ]);
}

/** The rule for a repository: an exact scope, else the longest prefix, else `*`; undefined where none matches. */
export function ruleFor({ rules }: Policy, repository: string): PolicyRule | undefined {
  return (
    findPin(
      rules.filter(({ scope }) => scope !== '*'),
      repository,
    ) ?? rules.find(({ scope }) => scope === '*')
  );
}

async function verdictOf(rule: RuleDocument, own: Sources): Promise<PolicyVerdict> {
  if (rule.allow !== undefined) return { kind: 'allow', reason: rule.allow };
  if (rule.deny !== undefined) return { kind: 'deny', reason: rule.deny };
  const signatures: SignatureRule[] = [];
  for (const [index, demand] of (rule.signatures ?? []).entries())
    signatures.push(await signatureRule(demand, own, `${rule.scope}: signatures[${index}]`));
  for (const [index, { type, conditions = [], ...signers }] of (rule.attestations ?? []).entries()) {
    const where = `${rule.scope}: attestations[${index}]`;
    const attested = await signatureRule({ ...signers, purposes: [predicateType(type)] }, own, where);
    signatures.push({ ...attested, conditions: conditions.map(parseCondition) });
  }
  return {
    kind: 'verify',
    signatures,
    ...(rule.trust !== undefined && { name: await nameRule(rule, rule.trust, own) }),
    ...(rule.notary !== undefined && { notary: await notaryRule(rule, rule.notary, own) }),
  };
}

async function notaryRule(
  { scope }: RuleDocument,
  notary: NotaryDocument,
  own: Sources,
): Promise<NotaryRule> {
  const { server, root, collection, delegations = [], drift = 'warn' } = notary;
  return {
    server,
    root: await notaryRootOf(scope, root, own),
    gunOf: (repository) =>
      collectionUnder({ scope, trust: { kind: 'tofu' as const }, collection }, repository),
    delegations,
    drift,
  };
}

/** @throws BullaError policy-invalid where no key is read; content-invalid; what the material throws */
async function notaryRootOf(scope: string, root: NotaryDocument['root'], own: Sources): Promise<NotaryPin> {
  if ('keyIds' in root) return { kind: 'key-ids', keyIds: root.keyIds };
  if ('file' in root) {
    const bytes = await own.material.file(root.file);
    const { readRoot } = await import('../../notary/root-chain.ts');
    readRoot(bytes);
    return { kind: 'root', bytes };
  }
  const pem =
    'ca' in root
      ? pemOf(await gather(root.ca, own, certificatesOf))
      : (await gather(root.keys, own, keysOf)).map(publicKeyPem).join('');
  if (pem === '')
    throw new BullaError('policy-invalid', `the rule for ${scope}: notary.root names no key`, {
      hint: 'give the root key of the repository: without one, no server is trusted',
    });
  return 'ca' in root ? { kind: 'ca', pem } : { kind: 'public-key', pem };
}

function pemOf(certificates: readonly Certificate[]): string {
  return certificates.map(({ x509 }) => x509.toString()).join('');
}

async function nameRule(
  { scope }: RuleDocument,
  trust: NonNullable<RuleDocument['trust']>,
  own: Sources,
): Promise<NameRule> {
  const { root, collection, at, signers = { all: ['names'] }, maxStaleness = '0s', drift = 'warn' } = trust;
  const named = 'all' in signers ? signers.all : 'any' in signers ? signers.any : signers.of;
  const threshold = 'all' in signers ? new Set(named).size : 'any' in signers ? 1 : signers.threshold;
  const mapped = { scope, trust: { kind: 'tofu' as const }, collection };
  return {
    collectionOf: (repository) =>
      collection === undefined ? undefined : collectionUnder(mapped, repository),
    signers: [...new Set(named)],
    threshold,
    maxStaleness: parseDuration(maxStaleness) ?? 0,
    drift,
    ...(at !== undefined && { at }),
    ...(root !== undefined && { root: await rootOf(root, own) }),
  };
}

async function rootOf(
  root: NonNullable<NonNullable<RuleDocument['trust']>['root']>,
  own: Sources,
): Promise<PinnedTrust> {
  if ('keyIds' in root) return { kind: 'key-ids', keyIds: root.keyIds };
  if ('file' in root) return { kind: 'root', bytes: await own.material.file(root.file) };
  if ('tofu' in root) return { kind: 'tofu' };
  return { kind: 'ca', pem: pemOf(await gather(root.ca, own, certificatesOf)) };
}

async function signatureRule(demand: SignatureDocument, own: Sources, where: string): Promise<SignatureRule> {
  const { authorities = [], identities = [], threshold, purposes, annotations } = demand;
  const publishers = (demand.publishers ?? []).flatMap((name) => PUBLISHERS.get(name) ?? []);
  const keys = [...(demand.keys ?? []), ...publishers.flatMap((publisher) => publisher.keys)];
  const keyless = [...(demand.keyless ?? []), ...publishers.flatMap((publisher) => publisher.keyless)];
  const [transparency, timestamp] = [demand.transparency === 'required', demand.timestamp !== undefined];
  const root = await rootFor(demand, keyless.length > 0 || transparency || timestamp, own, where);
  const { revocation } = demand;
  try {
    const {
      now: _,
      also: __,
      ...rule
    } = requirements({
      now: new Date(0),
      keys: await gather(keys, own, keysOf),
      roots: await gather(authorities, own, certificatesOf),
      identities: identities.map((text) => parseIdentity(text)),
      timestampAuthorities: await gather(demand.timestampAuthorities ?? [], own, certificatesOf),
      annotations: new Map(Object.entries(annotations ?? {})),
      ...(keyless.length > 0 &&
        root !== undefined && { keyless: { identities: keyless.map(identityRule), root } }),
      ...((transparency || timestamp) && root !== undefined && { proof: { transparency, timestamp, root } }),
      ...(demand.logged !== undefined && { logged: new Set(demand.logged) }),
      ...(revocation !== undefined && { revocation: revocationDemand(revocation) }),
      ...(threshold !== undefined && { threshold }),
      ...(purposes !== undefined && { purposes }),
    });
    return { ...rule, ...(demand.publishers !== undefined && { publishers: demand.publishers }) };
  } catch (error) {
    if (!isBullaError(error, 'usage', 'trust-unpinned')) throw error;
    throw new BullaError('policy-invalid', `the rule for ${where}: ${error.message}`, {
      cause: error,
      ...(error.hint !== undefined && { hint: error.hint }),
    });
  }
}

function revocationDemand(document: NonNullable<SignatureDocument['revocation']>): RevocationDemand {
  if (typeof document === 'string') return { mode: document, privateHosts: [] };
  const { mode, privateHosts = [] } = document;
  return { mode, privateHosts: privateHosts.map((host) => host.toLowerCase()) };
}

/** The trusted root of an entry. Without logs only if the policy says so, and the instance really has none. */
async function rootFor(
  { trustedRoot, transparency }: SignatureDocument,
  isNeeded: boolean,
  { material }: Sources,
  where: string,
): Promise<TrustedRoot | undefined> {
  if (!isNeeded) return undefined;
  const root = await material.trustedRoot(trustedRoot);
  if (transparency !== 'none') return root;
  if (root.logs.length + root.certificateLogs.length === 0 && root.timestampAuthorities.length > 0)
    return { ...root, isUnlogged: true };
  throw new BullaError(
    'policy-invalid',
    `the rule for ${where} says transparency: none, and its trusted root has logs, or no time-stamp authority`,
    { hint: 'leave transparency out: signatures of this instance must be in its log' },
  );
}

/** An identity as it is matched: expressions match the whole value. */
export function identityRule(document: KeylessDocument): IdentityRule {
  return {
    subject: 'identity' in document ? document.identity : new RegExp(document.identityRegexp, 'u'),
    issuer: 'issuer' in document ? document.issuer : new RegExp(document.issuerRegexp, 'u'),
  };
}

const keysOf = ({ text, material }: SetMember): Promise<readonly PublicKey[]> => material.keys(text);

const certificatesOf = ({ text, material }: SetMember): Promise<readonly Certificate[]> =>
  material.certificates(text);

async function gather<T>(
  sources: readonly SourceDocument[],
  { sets, material }: Sources,
  read: (member: SetMember) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  const members = sources.flatMap((source) =>
    typeof source === 'string' ? { text: source, material } : (sets.get(source.set) ?? []),
  );
  return (await Promise.all(members.map(read))).flat();
}
