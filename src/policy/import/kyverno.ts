import { parsePublicKeysPem, publicKeyPem } from '../../crypto/public-key.ts';
import type { JsonObject } from '../../encoding/json.ts';
import type { AttestationDocument, SignatureDocument } from '../file/schema.ts';
import {
  anyOf,
  type Draft,
  identityIn,
  objectAt,
  objectsIn,
  pem,
  scopeAround,
  scopeOf,
  textAt,
  textsIn,
  unknownIn,
  type Verdict,
} from './draft.ts';

/** The `verifyImages` of a ClusterPolicy or Policy of Kyverno. */
export function importKyverno(document: JsonObject, draft: Draft): void {
  const name = textAt(objectAt(document, 'metadata'), 'name') ?? 'without a name';
  const spec = objectAt(document, 'spec');
  for (const rule of objectsIn(spec, 'rules')) {
    for (const verify of objectsIn(rule, 'verifyImages')) {
      const action = textAt(verify, 'failureAction') ?? textAt(spec, 'validationFailureAction') ?? 'Audit';
      const mode = action.toLowerCase() === 'enforce' ? ('enforce' as const) : ('audit' as const);
      const verdict = verdictOf(verify);
      const skipped = textsIn(verify, 'skipImageReferences');
      if (skipped.length > 0)
        draft.note(
          `policy ${name}: skipImageReferences (${skipped.join(', ')}) are verified here as the rest is`,
        );
      for (const pattern of textsIn(verify, 'imageReferences'))
        addPattern(draft, pattern, verdict, mode, name);
    }
  }
  draft.note(
    `policy ${name}: all policies that match an image count there; here the most specific rule does`,
  );
}

function addPattern(
  draft: Draft,
  pattern: string,
  verdict: Verdict | undefined,
  mode: 'enforce' | 'audit',
  name: string,
): void {
  const scope = scopeOf(pattern.replace(/:\*$/, ''));
  if (scope === undefined)
    draft.deny(scopeAround(pattern), `the pattern ${pattern} matches a part of a name or a tag`);
  else if (verdict === undefined) draft.deny(scope, `the attestors of ${name} cannot be said here`);
  else draft.add(scope, verdict, mode);
}

const KNOWN = [
  'imageReferences',
  'skipImageReferences',
  'type',
  'attestors',
  'attestations',
  'mutateDigest',
  'verifyDigest',
  'required',
  'failureAction',
  'useCache',
  'imageRegistryCredentials',
];

function verdictOf(verify: JsonObject): Verdict | undefined {
  const type = textAt(verify, 'type') ?? 'Cosign';
  if (unknownIn(verify, KNOWN).length > 0 || !['Cosign', 'SigstoreBundle', 'Notary'].includes(type))
    return undefined;
  const signatures = demandsOf(objectsIn(verify, 'attestors'), type);
  const attestations = objectsIn(verify, 'attestations').map((one) => attestationsOf(one, type));
  if (signatures === undefined || attestations.some((one) => one === undefined)) return undefined;
  const demanded = attestations.flatMap((one) => one as AttestationDocument[]);
  if (signatures.length + demanded.length === 0) return undefined;
  return {
    ...(signatures.length > 0 && { signatures }),
    ...(demanded.length > 0 && { attestations: demanded }),
  };
}

function attestationsOf(document: JsonObject, kind: string): readonly AttestationDocument[] | undefined {
  const type = textAt(document, 'type') ?? textAt(document, 'predicateType');
  const demands = demandsOf(objectsIn(document, 'attestors'), kind);
  // Conditions are in a language of their own; without them more would be accepted.
  if (type === undefined || demands === undefined || demands.length === 0) return undefined;
  if (unknownIn(document, ['name', 'type', 'predicateType', 'attestors']).length > 0) return undefined;
  return demands.map((demand) => ({ type, ...demand }));
}

/** Every element must be satisfied; of its entries all, or as many as `count` says. */
function demandsOf(attestors: readonly JsonObject[], type: string): readonly SignatureDocument[] | undefined {
  const all: SignatureDocument[] = [];
  for (const attestor of attestors) {
    const entries = objectsIn(attestor, 'entries').flatMap((entry) => eachKey(onlyOf(entry, type)));
    const { count = entries.length } = attestor;
    if (entries.length === 0 || entries.some((entry) => entry === undefined) || typeof count !== 'number')
      return undefined;
    const known = entries as SignatureDocument[];
    if (count >= known.length) all.push(...known);
    else {
      const joined = anyOf(known, count);
      if (joined === undefined || count < 1) return undefined;
      all.push(joined);
    }
  }
  return all;
}

/** Several keys in one entry are as many entries there: without a `count` all of them have to sign. */
function eachKey(demand: SignatureDocument | undefined): readonly (SignatureDocument | undefined)[] {
  return demand?.keys === undefined ? [demand] : demand.keys.map((key) => ({ ...demand, keys: [key] }));
}

/** Of two kinds in one entry, one would be lost. */
function onlyOf(entry: JsonObject, type: string): SignatureDocument | undefined {
  return unknownIn(entry, ['annotations']).length > 1 ? undefined : entryOf(entry, type);
}

function entryOf(entry: JsonObject, type: string): SignatureDocument | undefined {
  if (unknownIn(entry, ['keys', 'keyless', 'certificates', 'annotations']).length > 0) return undefined;
  const annotations = objectAt(entry, 'annotations');
  const signed =
    Object.keys(annotations).length === 0
      ? {}
      : {
          annotations: Object.fromEntries(
            Object.entries(annotations).map(([name, value]) => [name, String(value)]),
          ),
        };
  const keys = objectAt(entry, 'keys');
  const publicKeys = textAt(keys, 'publicKeys');
  if (publicKeys !== undefined) {
    if (
      !publicKeys.includes('-----BEGIN') ||
      unknownIn(keys, ['publicKeys', 'rekor', 'ctlog', 'signatureAlgorithm']).length > 0
    )
      return undefined;
    const isLogged = objectAt(keys, 'rekor')['ignoreTlog'] !== true;
    const each = parsePublicKeysPem(pem(publicKeys), 'publicKeys').map(publicKeyPem);
    return { keys: each, ...(isLogged && { transparency: 'required' }), ...signed };
  }
  const keyless = objectAt(entry, 'keyless');
  const identity = identityIn(keyless, 'RegExp', wild);
  if (identity !== undefined) {
    const known = ['subject', 'subjectRegExp', 'issuer', 'issuerRegExp', 'rekor', 'ctlog'];
    return unknownIn(keyless, known).length > 0 ? undefined : { keyless: [identity], ...signed };
  }
  const certificates = objectAt(entry, 'certificates');
  const authority = textAt(certificates, 'certChain') ?? textAt(certificates, 'cert');
  if (
    authority === undefined ||
    type !== 'Notary' ||
    unknownIn(certificates, ['cert', 'certChain', 'rekor']).length > 0
  )
    return undefined;
  return { authorities: [pem(authority)], ...signed };
}

/** `*` in a subject matches any text. */
function wild(subject: string): { readonly identity: string } | { readonly identityRegexp: string } {
  if (!subject.includes('*')) return { identity: subject };
  return {
    identityRegexp: subject
      .split('*')
      .map((part) => part.replace(/[.\\+?^${}()|[\]]/g, '\\$&'))
      .join('.*'),
  };
}
