import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import type { AttestationDocument, KeylessDocument, SignatureDocument } from '../file/schema.ts';
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
  unknownIn,
  type Verdict,
} from './draft.ts';

/** A ClusterImagePolicy of sigstore's policy-controller. */
export function importClusterImagePolicy(document: JsonObject, draft: Draft): void {
  const name = textAt(objectAt(document, 'metadata'), 'name') ?? 'without a name';
  const spec = objectAt(document, 'spec');
  const mode = textAt(spec, 'mode') === 'warn' ? ('audit' as const) : undefined;
  if (isJsonObject(spec['match'] ?? null) || objectsIn(spec, 'match').length > 0)
    draft.note(
      `policy ${name}: "match" chooses kinds of objects; here the rule is for every use of the image`,
    );
  draft.note(
    `policy ${name}: all policies that match an image count there; here the most specific rule does`,
  );
  const verdict = verdictOf(objectsIn(spec, 'authorities'), isJsonObject(spec['policy'] ?? null));
  for (const image of objectsIn(spec, 'images')) {
    const glob = textAt(image, 'glob') ?? '';
    const scope = scopeOf(glob);
    if (scope === undefined)
      draft.deny(scopeAround(glob), `the glob ${glob} matches a part of a name or a tag`);
    else if (verdict === undefined) draft.deny(scope, `the authorities of ${name} cannot be said here`);
    else if (verdict.allow !== undefined && /[^*]\*$/.test(glob) && !glob.endsWith('**'))
      draft.deny(scope, `${glob} allows one level of repositories, and a scope would allow those below, too`);
    else draft.add(scope, verdict, mode);
  }
}

/** One of the authorities is enough. */
function verdictOf(authorities: readonly JsonObject[], hasPolicy: boolean): Verdict | undefined {
  if (hasPolicy || authorities.length === 0) return undefined;
  const [first] = authorities;
  const action = textAt(objectAt(first as JsonObject, 'static'), 'action');
  if (action !== undefined && authorities.length === 1)
    return action === 'pass'
      ? { allow: 'passed by a static authority' }
      : { deny: 'failed by a static authority' };
  const demands = authorities.map(demandOf);
  if (demands.some((demand) => demand === undefined)) return undefined;
  const attested = authorities.map((authority) => objectsIn(authority, 'attestations'));
  if (attested.every((list) => list.length === 0)) {
    const joined = anyOf(demands as SignatureDocument[], 1);
    return joined === undefined ? undefined : { signatures: [joined] };
  }
  // Several authorities with attestations would each be enough, which no list of demands says.
  if (authorities.length > 1) return undefined;
  const all = (attested[0] as readonly JsonObject[]).map((one) =>
    attestation(one, demands[0] as SignatureDocument),
  );
  return all.some((one) => one === undefined) ? undefined : { attestations: all as AttestationDocument[] };
}

function attestation(document: JsonObject, demand: SignatureDocument): AttestationDocument | undefined {
  const type = textAt(document, 'predicateType');
  // A condition in CUE or Rego that is lost would accept more.
  if (type === undefined || unknownIn(document, ['name', 'predicateType']).length > 0) return undefined;
  return { type, ...demand };
}

function demandOf(authority: JsonObject): SignatureDocument | undefined {
  if (unknownIn(authority, ['name', 'key', 'keyless', 'ctlog', 'attestations', 'signatureFormat']).length > 0)
    return undefined;
  const logged = isJsonObject(authority['ctlog'] ?? null) ? { transparency: 'required' as const } : {};
  const key = objectAt(authority, 'key');
  const data = textAt(key, 'data');
  if (data !== undefined && unknownIn(key, ['data', 'hashAlgorithm']).length === 0)
    return { keys: [pem(data)], ...logged };
  const keyless = objectAt(authority, 'keyless');
  // Another Fulcio or root than the public one is a trusted root here, which a URL is not.
  const url = textAt(keyless, 'url') ?? 'https://fulcio.sigstore.dev';
  if (
    !/^https:\/\/fulcio\.sigstore\.dev\/?$/.test(url) ||
    unknownIn(keyless, ['url', 'identities']).length > 0
  )
    return undefined;
  const identities = objectsIn(keyless, 'identities').map((one) => identityIn(one, 'RegExp'));
  if (identities.length === 0 || identities.some((one) => one === undefined)) return undefined;
  return { keyless: identities as KeylessDocument[] };
}
