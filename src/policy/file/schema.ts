import * as z from 'zod/mini';
import type { ConditionDocument } from '../conditions.ts';

type ModeDocument = 'enforce' | 'audit' | 'validate-only';

/** A policy file (spec/policy.md). */
export interface PolicyDocument {
  readonly version: 1;
  readonly mode?: ModeDocument | undefined;
  /** Paths of files with more rules and sets, relative to this one. */
  readonly include?: readonly string[] | undefined;
  /** Named lists of keys or certificates. */
  readonly sets?: Readonly<Record<string, readonly string[]>> | undefined;
  readonly rules: readonly RuleDocument[];
  readonly gate?: GateDocument | undefined;
}

/** What only the gate of a cluster reads (spec/gate.md, "Settings"). */
export interface GateDocument {
  /** Paths to images in objects of kinds that are not known, as `spec.jobs[*].image`. */
  readonly images?: readonly string[] | undefined;
  /** Namespaces whose pull secrets are used; `*` for all of them. */
  readonly pullSecrets?: readonly string[] | undefined;
}

/** A rule. It has `allow`, or `deny`, or some of `trust` or `notary`, `signatures` and `attestations`. */
export interface RuleDocument {
  readonly scope: string;
  readonly mode?: ModeDocument | undefined;
  /** Why images pass without verification. */
  readonly allow?: string | undefined;
  /** Why images never pass. */
  readonly deny?: string | undefined;
  readonly trust?: TrustDocument | undefined;
  readonly notary?: NotaryDocument | undefined;
  readonly signatures?: readonly SignatureDocument[] | undefined;
  readonly attestations?: readonly AttestationDocument[] | undefined;
}

/** What the signed name of an image must be like. */
export interface TrustDocument {
  readonly root?: RootDocument | undefined;
  readonly collection?: string | undefined;
  readonly at?: string | undefined;
  readonly signers?: SignersDocument | undefined;
  readonly maxStaleness?: string | undefined;
  readonly drift?: 'warn' | 'reject' | undefined;
}

/** A name that must be signed at a server of Notary v1. */
export interface NotaryDocument {
  /** Its URL. */
  readonly server: string;
  readonly root: NotaryRootDocument;
  /** The globally unique name, if it is not the repository. */
  readonly collection?: string | undefined;
  /** Delegations that must all have signed the name. */
  readonly delegations?: readonly string[] | undefined;
  readonly drift?: 'warn' | 'reject' | undefined;
}

export type NotaryRootDocument =
  | { readonly keyIds: readonly string[] }
  | { readonly keys: readonly SourceDocument[] }
  | { readonly file: string }
  | { readonly ca: readonly SourceDocument[] };

export type RootDocument =
  | { readonly keyIds: readonly string[] }
  | { readonly file: string }
  | { readonly ca: readonly SourceDocument[] }
  | { readonly tofu: true };

export type SignersDocument =
  | { readonly all: readonly string[] }
  | { readonly any: readonly string[] }
  | { readonly threshold: number; readonly of: readonly string[] };

/** What detached signatures must be like. */
export interface SignatureDocument extends SignersOfDocument {
  readonly purposes?: readonly string[] | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** What attestations must be like. */
export interface AttestationDocument extends SignersOfDocument {
  /** A predicate type, by name or as a URI. */
  readonly type: string;
  readonly conditions?: readonly ConditionDocument[] | undefined;
}

/** Whose signatures count, and how many of them there must be. */
export interface SignersOfDocument {
  readonly threshold?: number | undefined;
  readonly keys?: readonly SourceDocument[] | undefined;
  readonly authorities?: readonly SourceDocument[] | undefined;
  readonly identities?: readonly string[] | undefined;
  /** Certificates of time-stamp authorities for `authorities`. */
  readonly timestampAuthorities?: readonly SourceDocument[] | undefined;
  readonly keyless?: readonly KeylessDocument[] | undefined;
  /** Names of well-known publishers, whose keys and identities count like those of `keys` and `keyless`. */
  readonly publishers?: readonly string[] | undefined;
  readonly trustedRoot?: string | undefined;
  /** The signature must be in a trusted log; `none`: the instance of `trustedRoot` has no logs, and a time stamp counts. */
  readonly transparency?: 'required' | 'none' | undefined;
  /** A trusted time-stamp authority must have seen the signature. */
  readonly timestamp?: 'required' | undefined;
  /** Checks of Notation signatures by `authorities` that are only reported. */
  readonly logged?: readonly LoggedCheck[] | undefined;
  /** What the revocation of certificates of `authorities` means; nothing is asked if left out. */
  readonly revocation?: RevocationMode | RevocationDocument | undefined;
}

/** The lifetime of a signature, or that of its certificates, by a time stamp or now. */
export type LoggedCheck = 'expiry' | 'authenticTimestamp';

export type RevocationMode = 'enforce' | 'soft' | 'log';

export interface RevocationDocument {
  readonly mode: RevocationMode;
  /** Hosts, with a port where it matters, that may have private addresses. */
  readonly privateHosts?: readonly string[] | undefined;
}

/** The path of a file beside the policy, or PEM; or all members of a named set. */
export type SourceDocument = string | { readonly set: string };

/** An identity that a Sigstore instance certifies: each part exactly, or by an expression for the whole value. */
export type KeylessDocument = ({ readonly identity: string } | { readonly identityRegexp: string }) &
  ({ readonly issuer: string } | { readonly issuerRegexp: string });

const text: z.ZodMiniType<string> = z.string().check(z.minLength(1));
const texts: z.ZodMiniType<readonly string[]> = z.array(text).check(z.minLength(1));
const positive: z.ZodMiniType<number> = z.int().check(z.positive());
const mode: z.ZodMiniType<ModeDocument> = z.enum(['enforce', 'audit', 'validate-only']);
const source: z.ZodMiniType<SourceDocument> = z.union([text, z.strictObject({ set: text })]);
const sources: z.ZodMiniType<readonly SourceDocument[]> = z.array(source).check(z.minLength(1));

const root: z.ZodMiniType<RootDocument> = z.union([
  z.strictObject({ keyIds: texts }),
  z.strictObject({ file: text }),
  z.strictObject({ ca: sources }),
  z.strictObject({ tofu: z.literal(true) }),
]);

const signers: z.ZodMiniType<SignersDocument> = z.union([
  z.strictObject({ all: texts }),
  z.strictObject({ any: texts }),
  z.strictObject({ threshold: positive, of: texts }),
]);

const trust: z.ZodMiniType<TrustDocument> = z.strictObject({
  root: z.optional(root),
  collection: z.optional(text),
  at: z.optional(text),
  signers: z.optional(signers),
  maxStaleness: z.optional(text),
  drift: z.optional(z.enum(['warn', 'reject'])),
});

const notaryRoot: z.ZodMiniType<NotaryRootDocument> = z.union([
  z.strictObject({ keyIds: texts }),
  z.strictObject({ keys: sources }),
  z.strictObject({ file: text }),
  z.strictObject({ ca: sources }),
]);

const notary: z.ZodMiniType<NotaryDocument> = z.strictObject({
  server: text,
  root: notaryRoot,
  collection: z.optional(text),
  delegations: z.optional(texts),
  drift: z.optional(z.enum(['warn', 'reject'])),
});

const keyless: z.ZodMiniType<KeylessDocument> = z.union([
  z.strictObject({ identity: text, issuer: text }),
  z.strictObject({ identity: text, issuerRegexp: text }),
  z.strictObject({ identityRegexp: text, issuer: text }),
  z.strictObject({ identityRegexp: text, issuerRegexp: text }),
]);

const revocationMode: z.ZodMiniType<RevocationMode> = z.enum(['enforce', 'soft', 'log']);

const signersOf = {
  threshold: z.optional(positive),
  keys: z.optional(sources),
  authorities: z.optional(sources),
  identities: z.optional(texts),
  timestampAuthorities: z.optional(sources),
  keyless: z.optional(z.array(keyless).check(z.minLength(1))),
  publishers: z.optional(texts),
  trustedRoot: z.optional(text),
  transparency: z.optional(z.enum(['required', 'none'])),
  timestamp: z.optional(z.literal('required')),
  logged: z.optional(z.array(z.enum(['expiry', 'authenticTimestamp'])).check(z.minLength(1))),
  revocation: z.optional(
    z.union([revocationMode, z.strictObject({ mode: revocationMode, privateHosts: z.optional(texts) })]),
  ),
};

const scalar: z.ZodMiniType<string | number | boolean | null> = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.null(),
]);
const bound: z.ZodMiniType<string | number> = z.union([z.number(), text]);

const condition: z.ZodMiniType<ConditionDocument> = z.strictObject({
  path: text,
  some: z.optional(z.boolean()),
  exists: z.optional(z.boolean()),
  equals: z.optional(scalar),
  in: z.optional(z.array(scalar).check(z.minLength(1))),
  matches: z.optional(text),
  atLeast: z.optional(bound),
  atMost: z.optional(bound),
  lessThan: z.optional(bound),
  greaterThan: z.optional(bound),
  maxAge: z.optional(text),
});

const attestation: z.ZodMiniType<AttestationDocument> = z.strictObject({
  ...signersOf,
  type: text,
  conditions: z.optional(z.array(condition).check(z.minLength(1))),
});

const signature: z.ZodMiniType<SignatureDocument> = z.strictObject({
  ...signersOf,
  purposes: z.optional(texts),
  annotations: z.optional(z.record(z.string(), z.string())),
});

const rule: z.ZodMiniType<RuleDocument> = z.strictObject({
  scope: text,
  mode: z.optional(mode),
  allow: z.optional(text),
  deny: z.optional(text),
  trust: z.optional(trust),
  notary: z.optional(notary),
  signatures: z.optional(z.array(signature).check(z.minLength(1))),
  attestations: z.optional(z.array(attestation).check(z.minLength(1))),
});

const IMAGE_PATH = /^(?:\*|[A-Za-z0-9_-]+)(?:\.(?:\*|[A-Za-z0-9_-]+)|\[\*\])*$/;

const gate: z.ZodMiniType<GateDocument> = z.strictObject({
  images: z.optional(z.array(z.string().check(z.regex(IMAGE_PATH))).check(z.minLength(1))),
  pullSecrets: z.optional(texts),
});

/** What a policy file may hold; its JSON schema is generated from this. */
export const policySchema: z.ZodMiniType<PolicyDocument> = z.strictObject({
  version: z.literal(1),
  mode: z.optional(mode),
  include: z.optional(texts),
  sets: z.optional(z.record(z.string(), texts)),
  rules: z.array(rule),
  gate: z.optional(gate),
});
