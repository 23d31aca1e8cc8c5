import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import { isDelegationName, roleOfSigner } from '../../notary/role-name.ts';
import type { SignatureDocument } from '../file/schema.ts';
import {
  anyOf,
  Draft,
  type ImportedPolicy,
  identityIn,
  objectAt,
  objectsIn,
  pem,
  scopeAround,
  scopeOf,
  textAt,
  textsIn,
  type Verdict,
} from './draft.ts';

/** Helm values of Connaisseur 3: `application.validators` and `application.policy`. */
export function importConnaisseur(values: JsonObject): ImportedPolicy {
  const draft = new Draft();
  const application = objectAt(values, 'application');
  const validators = new Map(
    objectsIn(application, 'validators').map((one) => [textAt(one, 'name') ?? 'default', one]),
  );
  for (const rule of objectsIn(application, 'policy')) {
    const pattern = textAt(rule, 'pattern') ?? '';
    const validator = validators.get(textAt(rule, 'validator') ?? 'default');
    const scope = scopeOfPattern(pattern, draft);
    if (scope === undefined) {
      draft.deny(scopeAround(bare(pattern)), `the pattern ${pattern} matches a part of a name or a tag`);
      continue;
    }
    const verdict =
      validator === undefined ? undefined : verdictOf(validator, objectAt(rule, 'with'), scope, draft);
    if (verdict === undefined)
      draft.deny(scope, `the validator ${textAt(rule, 'validator') ?? 'default'} cannot be carried over`);
    else draft.add(scope, verdict);
  }
  const features = objectAt(application, 'features');
  const isDetecting =
    features['detectionMode'] === true || objectAt(features, 'detectionMode')['enabled'] === true;
  return draft.finish(isDetecting ? 'audit' : undefined);
}

function bare(pattern: string): string {
  return pattern.replace(/:\*$/, '');
}

/** Its `*` crosses `/`, and its patterns match anywhere in a name: they are anchored here. */
function scopeOfPattern(pattern: string, draft: Draft): string | undefined {
  if (/^\*(?::\*)?$/.test(pattern)) return '*';
  if (/:[^/*]*$/.test(pattern) && !/^[^/]*:\d+$/.test(pattern)) return undefined;
  const [first = ''] = bare(pattern).split('/');
  const isHost = /[.:]/.test(first) || first === 'localhost';
  const anchored = isHost
    ? bare(pattern)
    : `docker.io/${bare(pattern).includes('/') ? '' : 'library/'}${bare(pattern)}`;
  const scope = scopeOf(anchored);
  if (scope !== undefined)
    draft.note(
      `the pattern ${pattern} matched anywhere in a name there; here it is ${scope} and nothing else`,
    );
  return scope;
}

function verdictOf(
  validator: JsonObject,
  rule: JsonObject,
  scope: string,
  draft: Draft,
): Verdict | undefined {
  switch (textAt(validator, 'type')) {
    case 'static':
      return validator['approve'] === true
        ? { allow: `approved by the static validator ${textAt(validator, 'name') ?? ''}` }
        : { deny: `denied by the static validator ${textAt(validator, 'name') ?? ''}` };
    case 'notaryv1':
      return notary(validator, rule, scope, draft);
    case 'cosign':
      return cosign(validator, rule, scope, draft);
    case 'notation':
      return notation(validator, rule, scope, draft);
    default:
      return undefined;
  }
}

/**
 * A name at the same server, where one root key is trusted there. Otherwise signed names become those of a collection,
 * which `bulla import notary` makes. One digest is demanded of all that signed a name, as there.
 */
function notary(validator: JsonObject, rule: JsonObject, scope: string, draft: Draft): Verdict {
  const delegations = textsIn(rule, 'delegations').map((name) => name.replace(/^targets\//, ''));
  const server = serverIn(validator);
  const [key, ...others] = chosen(validator, rule).map((root) => textAt(root, 'key'));
  const isExact =
    key?.includes('-----BEGIN PUBLIC KEY-----') === true &&
    others.length === 0 &&
    delegations.every((name) => isDelegationName(roleOfSigner(name)));
  if (server === undefined || !isExact) {
    draft.note(
      `${scope}: names are looked up in trust collections, whose roots must be pinned on the machine that decides: bulla import notary, then bulla pin`,
    );
    return {
      trust: delegations.length === 0 ? { signers: { all: ['names'] } } : { signers: { all: delegations } },
    };
  }
  draft.note(`${scope}: names are asked at ${server}; bulla import notary moves them before it ends`);
  if (validator['cert'] !== undefined)
    draft.note(`${scope}: the certificate of ${server} is not carried over: set ca-file for its host`);
  if (validator['auth'] !== undefined)
    draft.note(`${scope}: credentials for ${server} are not carried over: bulla login`);
  const signed = delegations.length > 0 ? { delegations } : {};
  return { notary: { server, root: { keys: [pem(key)] }, ...signed } };
}

function serverIn(validator: JsonObject): string | undefined {
  const host = textAt(validator, 'host');
  return host !== undefined && /^[a-z0-9.-]+(?::\d+)?$/i.test(host) ? `https://${host}` : undefined;
}

function chosen(validator: JsonObject, rule: JsonObject): readonly JsonObject[] {
  const roots = objectsIn(validator, 'trustRoots');
  const wanted = textAt(rule, 'trustRoot') ?? 'default';
  return wanted === '*' ? roots : roots.filter((root) => textAt(root, 'name') === wanted);
}

function cosign(validator: JsonObject, rule: JsonObject, scope: string, draft: Draft): Verdict | undefined {
  const roots = chosen(validator, rule);
  const isLogged = rule['verifyInTransparencyLog'] !== false;
  const demands = new Map<string, SignatureDocument>();
  for (const root of roots) {
    const demand = cosignRoot(root, isLogged);
    if (demand === undefined) {
      draft.note(`${scope}: the trust root ${textAt(root, 'name') ?? ''} cannot be carried over`);
      return undefined;
    }
    const name = textAt(root, 'name') ?? '';
    // Of two with one name, one demand would be lost.
    if (demands.has(name)) return undefined;
    demands.set(name, demand);
  }
  if (isJsonObject(validator['host'] ?? null))
    draft.note(`${scope}: own hosts of Fulcio and Rekor need a trusted root here: trustedRoot`);
  if (demands.size === 0) return undefined;
  const isAll = textAt(rule, 'trustRoot') === '*';
  const threshold = typeof rule['threshold'] === 'number' ? rule['threshold'] : isAll ? demands.size : 1;
  const joined = anyOf([...demands.values()], threshold);
  if (joined === undefined || !Number.isInteger(threshold) || threshold < 1 || threshold > demands.size)
    return undefined;
  const required = textsIn(rule, 'required').map((name) => demands.get(name));
  if (required.some((demand) => demand === undefined)) return undefined;
  return { signatures: [joined, ...(required as SignatureDocument[])] };
}

function cosignRoot(root: JsonObject, isLogged: boolean): SignatureDocument | undefined {
  const key = textAt(root, 'key');
  const logged = isLogged ? { transparency: 'required' as const } : {};
  if (key !== undefined)
    return key.includes('-----BEGIN PUBLIC KEY-----') ? { keys: [pem(key)], ...logged } : undefined;
  const keyless = objectAt(root, 'keyless');
  const identity = identityIn(keyless, 'Regex');
  return identity === undefined ? undefined : { keyless: [identity], ...logged };
}

function notation(validator: JsonObject, rule: JsonObject, scope: string, draft: Draft): Verdict | undefined {
  const authorities = chosen(validator, rule).map((root) => textAt(root, 'cert'));
  if (authorities.length === 0 || authorities.some((cert) => cert === undefined)) return undefined;
  const stamps = chosen(validator, rule).flatMap((root) => textAt(root, 'tsaCert') ?? []);
  draft.note(
    `${scope}: no identities are given, so every certificate of these authorities signs; add identities`,
  );
  const trusted = { authorities: authorities.map((cert) => pem(cert as string)) };
  return {
    signatures: [{ ...trusted, ...(stamps.length > 0 && { timestampAuthorities: stamps.map(pem) }) }],
  };
}
