import type { Mistake } from '../../encoding/located-yaml.ts';
import { parseDuration } from '../../encoding/time.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { isDelegationName, roleOfSigner } from '../../notary/role-name.ts';
import { placeNamed } from '../../oci/place.ts';
import { predicateType } from '../../signatures/predicates.ts';
import { checkKeyIds, checkPin, checkScope } from '../../trust/read/pin.ts';
import { parseCondition } from '../conditions.ts';
import { PUBLISHERS } from './publishers.ts';
import type {
  AttestationDocument,
  NotaryDocument,
  PolicyDocument,
  RuleDocument,
  SignersOfDocument,
  SourceDocument,
  TrustDocument,
} from './schema.ts';

/**
 * What is wrong with a policy beyond what its schema says. Nothing is read for it.
 * @param included names of sets in the files that it includes
 */
export function mistakesIn({ rules, sets = {} }: PolicyDocument, included: Iterable<string> = []): Mistake[] {
  const places = rules.map(({ scope }) => placeNamed(scope));
  const names = new Set([...Object.keys(sets), ...included]);
  return rules.flatMap((rule, index) => [
    ...inRule(rule, names).map(({ path, message }) => ({
      path: ['rules', index, ...path],
      message,
    })),
    ...(places.indexOf(places[index] ?? '') < index
      ? [{ path: ['rules', index, 'scope'], message: 'another rule has the same scope' }]
      : []),
  ]);
}

type Sets = ReadonlySet<string>;

function inRule(rule: RuleDocument, sets: Sets): Mistake[] {
  const { scope, allow, deny, trust, notary, signatures, attestations } = rule;
  const decisions = [allow, deny, trust ?? notary ?? signatures ?? attestations].filter(
    (decision) => decision !== undefined,
  );
  return [
    ...(scope === '*' ? [] : told(['scope'], () => checkScope(scope))),
    ...unless(
      decisions.length === 1,
      [],
      'a rule has one of allow, deny, or some of trust, notary, signatures and attestations',
    ),
    ...unless(
      trust === undefined || notary === undefined,
      ['notary'],
      'a name is signed in a collection (trust) or at a Notary server (notary), not in both',
    ),
    ...(trust === undefined ? [] : inTrust(trust, scope, sets)),
    ...(notary === undefined ? [] : inNotary(notary, scope, sets)),
    ...(signatures ?? []).flatMap((demand, index) => inSignatures(demand, ['signatures', index], sets)),
    ...(attestations ?? []).flatMap((demand, index) => inAttestation(demand, ['attestations', index], sets)),
  ];
}

function inNotary(notary: NotaryDocument, scope: string, sets: Sets): Mistake[] {
  const { server, root, collection, delegations = [] } = notary;
  const path = ['notary'];
  return [
    ...unless(
      isServer(server),
      [...path, 'server'],
      `${JSON.stringify(server)} is not the URL of a Notary server: write https://HOST, without a name or password (http:// only for this machine)`,
    ),
    ...unless(
      collection === undefined || scope !== '*',
      [...path, 'collection'],
      'a rule for all repositories cannot say what they are called',
    ),
    ...(collection !== undefined && scope !== '*' && !told([], () => checkScope(scope)).length
      ? told([...path, 'collection'], () => checkPin({ scope, trust: { kind: 'tofu' }, collection }))
      : []),
    ...delegations.flatMap((name, at) =>
      unless(
        isDelegationName(roleOfSigner(name)),
        [...path, 'delegations', at],
        `${JSON.stringify(name)} is not the name of a delegation`,
      ),
    ),
    ...('keyIds' in root
      ? told([...path, 'root', 'keyIds'], () => checkKeyIds({ kind: 'key-ids', keyIds: root.keyIds }))
      : []),
    ...unless(
      !('file' in root) || !scope.endsWith('*'),
      [...path, 'root', 'file'],
      'a root file belongs to one repository; use keyIds, keys or ca for a prefix',
    ),
    ...inSources('ca' in root ? root.ca : [], [...path, 'root', 'ca'], sets),
    ...inSources('keys' in root ? root.keys : [], [...path, 'root', 'keys'], sets),
  ];
}

function isServer(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.username + url.password + url.search + url.hash !== '') return false;
  const isHere = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname);
  return url.protocol === 'https:' || (url.protocol === 'http:' && isHere);
}

function inTrust(trust: TrustDocument, scope: string, sets: Sets): Mistake[] {
  const { root, maxStaleness, collection, at, signers } = trust;
  const isPrefix = scope.endsWith('*');
  const path = ['trust'];
  const isPlaced = collection !== undefined || at !== undefined;
  return [
    ...unless(
      maxStaleness === undefined || parseDuration(maxStaleness) !== undefined,
      [...path, 'maxStaleness'],
      `${JSON.stringify(maxStaleness)} is not a duration such as 12h or 30d`,
    ),
    ...unless(
      !isPlaced || scope !== '*',
      path,
      'a rule for all repositories cannot say where a collection is',
    ),
    ...(isPlaced && scope !== '*' && !told([], () => checkScope(scope)).length
      ? told(path, () => checkPin({ scope, trust: { kind: 'tofu' }, collection, at }))
      : []),
    ...unless(
      signers === undefined || !('of' in signers) || signers.threshold <= new Set(signers.of).size,
      [...path, 'signers', 'threshold'],
      'there are fewer signers than the threshold',
    ),
    ...(root !== undefined && 'keyIds' in root
      ? told([...path, 'root', 'keyIds'], () => checkKeyIds({ kind: 'key-ids', keyIds: root.keyIds }))
      : []),
    ...unless(
      root === undefined || !('file' in root) || !isPrefix,
      [...path, 'root', 'file'],
      'a root file belongs to one collection; use keyIds or ca for a prefix',
    ),
    ...inSources(root !== undefined && 'ca' in root ? root.ca : [], [...path, 'root', 'ca'], sets),
  ];
}

function inAttestation(demand: AttestationDocument, path: readonly PropertyKey[], sets: Sets): Mistake[] {
  const { type, conditions = [] } = demand;
  return [
    ...inSignatures(demand, path, sets),
    ...told([...path, 'type'], () => predicateType(type)),
    ...conditions.flatMap((condition, at) =>
      told([...path, 'conditions', at], () => parseCondition(condition)),
    ),
  ];
}

function inSignatures(demand: SignersOfDocument, path: readonly PropertyKey[], sets: Sets): Mistake[] {
  const { keys, authorities, identities, keyless = [], trustedRoot, transparency, timestamp } = demand;
  const { publishers = [] } = demand;
  return [
    ...unless(
      keys !== undefined || authorities !== undefined || keyless.length > 0 || publishers.length > 0,
      path,
      'signatures need keys, authorities, keyless or publishers',
    ),
    ...unless(
      demand.logged === undefined || authorities !== undefined,
      [...path, 'logged'],
      'checks are only logged for signatures by authorities',
    ),
    ...publishers.flatMap((name, at) => inPublisher(name, demand, [...path, 'publishers', at])),
    ...unless(
      transparency !== 'none' || (trustedRoot !== undefined && keyless.length > 0),
      [...path, 'transparency'],
      'without logs there must be a trustedRoot of an instance that has none, and keyless identities',
    ),
    ...unless(
      identities === undefined || authorities !== undefined,
      [...path, 'identities'],
      'identities need authorities that certify them',
    ),
    ...unless(
      trustedRoot === undefined ||
        keyless.length > 0 ||
        transparency !== undefined ||
        timestamp !== undefined,
      [...path, 'trustedRoot'],
      'a trusted root is for keyless, transparency or timestamp',
    ),
    ...inSources(keys ?? [], [...path, 'keys'], sets),
    ...inSources(authorities ?? [], [...path, 'authorities'], sets),
    ...keyless.flatMap((identity, at) =>
      Object.entries(identity)
        .filter(([name]) => name.endsWith('Regexp'))
        .flatMap(([name, value]) => told([...path, 'keyless', at, name], () => checkExpression(value))),
    ),
  ];
}

function inPublisher(
  name: string,
  { trustedRoot }: SignersOfDocument,
  path: readonly PropertyKey[],
): Mistake[] {
  const publisher = PUBLISHERS.get(name);
  return [
    ...unless(
      publisher !== undefined,
      path,
      `there is no publisher ${JSON.stringify(name)}: known are ${[...PUBLISHERS.keys()].join(', ')}`,
    ),
    ...unless(
      publisher === undefined || publisher.keyless.length === 0 || trustedRoot === undefined,
      path,
      `${name} signs with the public-good instance of Sigstore: write other signers with a trustedRoot in an entry of their own`,
    ),
  ];
}

function inSources(sources: readonly SourceDocument[], path: readonly PropertyKey[], sets: Sets): Mistake[] {
  return sources.flatMap((source, index) =>
    unless(
      typeof source === 'string' || sets.has(source.set),
      [...path, index],
      `there is no set ${JSON.stringify(typeof source === 'string' ? '' : source.set)}`,
    ),
  );
}

function checkExpression(text: string): void {
  try {
    new RegExp(text, 'u');
  } catch (cause) {
    throw new BullaError('policy-invalid', `${JSON.stringify(text)} is not a regular expression`, {
      cause,
      hint: 'write an expression as JavaScript has them; it must match the whole value',
    });
  }
}

function unless(isRight: boolean, path: readonly PropertyKey[], message: string): Mistake[] {
  return isRight ? [] : [{ path, message }];
}

/** What `demand` throws, as a mistake. */
function told(path: readonly PropertyKey[], demand: () => unknown): Mistake[] {
  try {
    demand();
    return [];
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return [{ path, message: error.message }];
  }
}
