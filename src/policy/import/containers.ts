import type { JsonObject } from '../../encoding/json.ts';
import type { SignatureDocument } from '../file/schema.ts';
import {
  Draft,
  type ImportedPolicy,
  listIn,
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

/** `policy.json` of containers/image (podman, CRI-O, skopeo). */
export function importContainers(document: JsonObject): ImportedPolicy {
  const draft = new Draft();
  addScope(draft, '*', objectsIn(document, 'default'));
  const transports = objectAt(document, 'transports');
  for (const name of Object.keys(transports))
    if (name !== 'docker') draft.note(`the transport ${name} is not about registries, and was left out`);
  const docker = objectAt(transports, 'docker');
  for (const written of Object.keys(docker)) {
    const demands = objectsIn(docker, written);
    for (const scope of scopesOf(written, draft)) addScope(draft, scope, demands);
  }
  return draft.finish();
}

/** A namespace there includes the repository of that name, and all below it. */
function scopesOf(written: string, draft: Draft): readonly string[] {
  if (written === '') return ['*'];
  const host = scopeOf(`${written}/*`);
  const exact = scopeOf(written);
  if (host !== undefined) return exact === undefined ? [host] : [exact, host];
  const around = scopeAround(written.replace(/:[^/]*$/, ''));
  const repository = scopeOf(written.replace(/(?:@.*|:[^:/]*)$/, ''));
  draft.deny(repository ?? around, `the scope ${written} is finer than a repository, or not one`);
  return [];
}

function addScope(draft: Draft, scope: string, demands: readonly JsonObject[]): void {
  if (demands.length === 0) draft.deny(scope, 'there are no requirements');
  for (const demand of demands) {
    const verdict = verdictOf(demand, scope, draft);
    if (verdict === undefined)
      draft.deny(scope, `a requirement of type ${textAt(demand, 'type') ?? 'unknown'} cannot be said here`);
    else draft.add(scope, verdict);
  }
}

function verdictOf(demand: JsonObject, scope: string, draft: Draft): Verdict | undefined {
  switch (textAt(demand, 'type')) {
    case 'insecureAcceptAnything':
      return { allow: 'accepted without verification before (insecureAcceptAnything)' };
    case 'reject':
      return { deny: 'rejected by the imported policy' };
    case 'sigstoreSigned':
      return sigstore(demand, scope, draft);
    default:
      return undefined;
  }
}

const KNOWN = [
  'type',
  'keyPath',
  'keyPaths',
  'keyData',
  'keyDatas',
  'rekorPublicKeyPath',
  'rekorPublicKeyPaths',
  'rekorPublicKeyData',
  'rekorPublicKeyDatas',
  'signedIdentity',
];

function sigstore(demand: JsonObject, scope: string, draft: Draft): Verdict | undefined {
  const unknown = unknownIn(demand, KNOWN);
  if (unknown.length > 0) {
    draft.note(
      `${scope}: ${unknown.join(', ')} of sigstoreSigned cannot be said here; for Fulcio write keyless identities with a trusted root`,
    );
    return undefined;
  }
  const inline = [textAt(demand, 'keyData'), ...textsIn(demand, 'keyDatas')].filter(
    (one) => one !== undefined,
  );
  const keys = [
    ...[textAt(demand, 'keyPath')].filter((one) => one !== undefined),
    ...textsIn(demand, 'keyPaths'),
    ...inline.map((data) => pem(Buffer.from(data, 'base64').toString('utf8'))),
  ];
  if (keys.length === 0) return undefined;
  const isLogged = KNOWN.slice(5, 9).some(
    (name) => textAt(demand, name) !== undefined || listIn(demand, name).length > 0,
  );
  if (isLogged)
    draft.note(
      `${scope}: the log must be one of the trusted root (the public-good instance); keys of logs are not carried over`,
    );
  const { type = 'matchRepoDigestOrExact' } = objectAt(demand, 'signedIdentity');
  if (type === 'remapIdentity' || type === 'exactReference' || type === 'exactRepository') {
    draft.note(
      `${scope}: signedIdentity ${String(type)} compares the name in the signature, which is not compared here`,
    );
    return undefined;
  }
  draft.note(
    `${scope}: the digest in a signature is compared, the name in it is not: a signature for the same image under another name counts`,
  );
  const signature: SignatureDocument = { keys, ...(isLogged && { transparency: 'required' }) };
  return { signatures: [signature] };
}
