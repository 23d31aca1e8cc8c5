import { BullaError, type ErrorCode, isBullaError } from '../../errors.ts';
import type { NotaryMemory } from '../../notary/source.ts';
import type { Digest } from '../../oci/digest.ts';
import { formatRepository, parseReference } from '../../oci/reference.ts';
import {
  type NameRule,
  type NotaryRule,
  type Policy,
  type PolicyRule,
  type PolicyVerdict,
  ruleFor,
} from '../../policy/file/policy.ts';
import type { Requirements } from '../../policy/requirements.ts';
import type { NotaryPort } from './notary.ts';
import { type Demands, type ImageToVerify, type Verified, type VerifyPorts, verify } from './verify.ts';

/** What a policy says about an image. */
export interface PolicyAnswer {
  readonly rule: PolicyRule;
  /** `REPOSITORY@DIGEST`: what to run. */
  readonly runnable: string;
  /** Left out where nothing was verified: the rule allows the image, or it was refused and the rule only audits. */
  readonly verified?: Verified;
  /** Why the image would have been refused, had the rule been enforced. */
  readonly refusal?: BullaError;
}

/** What a policy leaves open. */
export type PolicyOptions = Pick<Demands, 'platform' | 'eachPlatform' | 'offline'>;

/** Ports of {@link verify}, without what the policy says itself. */
export interface PolicyPorts extends Omit<VerifyPorts, 'requirements' | 'notary'> {
  /** Called only where a rule demands a name at a Notary server. */
  readonly openNotary: OpenNotary;
}

/** Trust data of a repository at a server, what is remembered of it, and how much of it is read, in bytes. */
export type OpenedNotary = Pick<NotaryPort, 'source'> &
  Pick<NotaryPort['trust'], 'maxBytes'> & { readonly memory: NotaryMemory };

/** Opens the trust data of a repository by its globally unique name. @throws BullaError registry-unreachable, usage, … */
export type OpenNotary = (server: URL, gun: string) => Promise<OpenedNotary>;

/** Codes that say something about the image; others are about the way to it, and nothing is known then. */
const REFUSALS: readonly ErrorCode[] = [
  'unsigned',
  'unsupported-signature',
  'signature-mismatch',
  'threshold-not-met',
  'untrusted-identity',
  'policy-denied',
  'certificate-invalid',
  'certificate-expired',
  'revoked',
  'trust-expired',
  'trust-rollback',
  'trust-invalid',
  'trust-unpinned',
  'name-not-signed',
  'digest-mismatch',
];

/**
 * Decides by a policy whether an image may be run (spec/policy.md, "Decision"): the most specific rule for its
 * repository says what must be verified. Without a rule it is refused.
 * @throws BullaError policy-denied; as {@link verify}, unless the rule only audits
 */
export async function verifyByPolicy(
  image: ImageToVerify,
  policy: Policy,
  ports: PolicyPorts,
  options: PolicyOptions = {},
): Promise<PolicyAnswer> {
  const { text, reference } = image;
  const place = ports.placeOf(reference);
  const rule = ruleFor(policy, place);
  if (rule === undefined) throw noRule(text, place);
  const { verdict, mode, scope } = rule;
  try {
    if (verdict.kind === 'deny') throw denied(text, scope, verdict.reason);
    if (verdict.kind !== 'verify') return { rule, runnable: await resolve(image, ports) };
    const verified = await verifyByRule(image, place, verdict, ports, options);
    return { rule, runnable: verified.runnable, verified };
  } catch (error) {
    if (!isRefusal(error) || mode !== 'audit') throw error;
    return { rule, runnable: await resolve(image, ports), refusal: error };
  }
}

/** A rule that demands something. */
export type Verifying = Extract<PolicyVerdict, { readonly kind: 'verify' }>;

/** Verifies an image of a place as a rule for it demands. @throws BullaError as {@link verify} */
export async function verifyByRule(
  image: ImageToVerify,
  place: string,
  verdict: Verifying,
  ports: PolicyPorts,
  options: PolicyOptions = {},
): Promise<Verified> {
  const { openNotary: _, ...common } = ports;
  try {
    return await verify(image, demandsOf(verdict, place, options), {
      ...common,
      requirements: requirementsFor(verdict, ports.now),
      notary: verdict.notary && (await notaryPort(image, place, verdict.notary, ports)),
    });
  } catch (error) {
    throw isBullaError(error) ? aboutRule(error) : error;
  }
}

/** Flags of `bulla verify` that hints name, and the member of a rule that says the same: a policy takes no such flags. */
const MEMBERS: readonly (readonly [flag: RegExp, member: string])[] = [
  [/--certificate-identity and --certificate-oidc-issuer(?![\w-])/g, 'keyless'],
  [/--certificate-identity(?![\w-])/g, 'identities'],
  [/--key(?![\w-])/g, 'keys'],
  [/--ca(?![\w-])/g, 'authorities'],
  [/--purpose(?![\w-])/g, 'purposes'],
  [/--signer ROLE(?![\w-])/g, 'signers'],
  [/--drift reject(?![\w-])/g, 'drift: reject'],
];

/** The same refusal, with a hint that names what to change in the rule. */
function aboutRule(error: BullaError): BullaError {
  const { code, message, hint, cause, details } = error;
  if (hint === undefined) return error;
  const worded = MEMBERS.reduce(
    (text, [flag, member]) => text.replace(flag, `"${member}" in the rule`),
    hint,
  );
  return worded === hint
    ? error
    : new BullaError(code, message, { hint: worded, cause, details, lines: true });
}

/** What is trusted there is what the rule says, and nothing that is pinned on this machine. */
async function notaryPort(
  { text, reference }: ImageToVerify,
  place: string,
  { server, root: pin, gunOf }: NotaryRule,
  { now, openNotary }: PolicyPorts,
): Promise<NotaryPort> {
  if (reference.kind !== 'registry')
    throw new BullaError('policy-denied', `${text} is in no registry, and Notary signs names in registries`, {
      hint: 'name the image in its registry',
    });
  const gun = gunOf(place);
  const { source, memory, maxBytes } = await openNotary(new URL(server), gun);
  return { source, trust: { gun, now, pin, memory, maxBytes }, isDemanded: true };
}

/** Whether a failure says something about the image, and not about the way to it. */
export function isRefusal(error: unknown): error is BullaError {
  return error instanceof BullaError && REFUSALS.includes(error.code);
}

/** That no rule is about an image, which is refused then. */
export function noRule(text: string, place: string): BullaError {
  return new BullaError('policy-denied', `${text}: no rule of the policy is about ${place}`, {
    hint: `add a rule with the scope ${place}, or a prefix of it that ends in /*`,
    details: { place },
  });
}

function demandsOf({ name, notary, signatures }: Verifying, place: string, options: PolicyOptions): Demands {
  if (notary !== undefined)
    return {
      ...options,
      signers: notary.delegations,
      drift: notary.drift,
      signatures: signatures.length > 0,
    };
  // What the rule does not ask for is not looked at, whatever is pinned on this machine.
  if (name === undefined) return { ...options, name: false };
  return { ...options, ...nameDemands(name, place), signatures: signatures.length > 0 };
}

function nameDemands(name: NameRule, place: string): Demands {
  const { root, at, signers, threshold, maxStaleness, drift } = name;
  return {
    ...{ signers, threshold, maxStaleness, drift, trust: root },
    collection: name.collectionOf(place),
    at: at === undefined ? undefined : parseReference(at),
  };
}

/** All signature rules, each of which must be satisfied. */
function requirementsFor({ signatures }: Verifying, now: Date): () => Promise<Requirements> {
  return async () => {
    const [first, ...also] = signatures.map((rule): Requirements => ({ ...rule, now }));
    if (first !== undefined) return { ...first, also };
    throw new BullaError('internal', 'signatures were looked at that no rule demands', {
      hint: 'please report this with the policy that was used',
    });
  };
}

/** What a decision is called in a table of expectations. */
export async function outcomeOf(decision: () => Promise<PolicyAnswer>): Promise<string> {
  try {
    const { verified, refusal } = await decision();
    return verified !== undefined ? 'verified' : refusal !== undefined ? 'audited' : 'allowed';
  } catch (error) {
    if (isBullaError(error) && error.code !== 'interrupted') return error.code;
    throw error;
  }
}

/** Resolved once: what is printed is what was there, and it was not verified. */
async function resolve({ text, reference }: ImageToVerify, ports: PolicyPorts): Promise<string> {
  const { tag, digest } = reference;
  const version = tag ?? digest;
  if (version === undefined)
    throw new BullaError('usage', `${text} names no image`, {
      hint: 'add :tag or @sha256:… to the reference',
    });
  const found: Digest = (await (await ports.image()).resolve(version, { signal: ports.signal })).digest;
  if (digest !== undefined && digest !== found)
    throw new BullaError(
      'digest-mismatch',
      `${text}: expected ${digest} at the tag ${tag} and found ${found}`,
      {
        hint: 'the tag was moved; leave it out to use the digest, or find out who moved it',
        details: { expected: digest, found },
      },
    );
  return `${formatRepository(reference)}@${found}`;
}

/** That a rule denies an image without looking at it. */
export function denied(text: string, scope: string, reason: string): BullaError {
  return new BullaError('policy-denied', `${text} is denied by the rule for ${scope}: ${reason}`, {
    hint: 'use another image, or have the policy changed',
    details: { scope, reason },
  });
}
