import type { JsonObject } from '../../encoding/json.ts';
import type { RevocationMode, SignatureDocument } from '../file/schema.ts';
import {
  Draft,
  type ImportedPolicy,
  type ImportFiles,
  objectAt,
  objectsIn,
  scopeAround,
  scopeOf,
  textAt,
  textsIn,
  type Verdict,
} from './draft.ts';

/** `trustpolicy.json` of Notation, version 1.0. */
export async function importNotation(document: JsonObject, files: ImportFiles): Promise<ImportedPolicy> {
  const draft = new Draft();
  const policies = [...objectsIn(document, 'trustPolicies'), ...objectsIn(document, 'ociTrustPolicies')];
  for (const policy of policies) {
    const name = textAt(policy, 'name') ?? 'without a name';
    const { verdict, mode } = await verdictOf(policy, name, files, draft);
    for (const written of textsIn(policy, 'registryScopes')) {
      // Notation has no patterns: a scope that is lost would let the policy for * decide.
      const scope = written === '*' || !written.includes('*') ? scopeOf(written) : undefined;
      if (scope === undefined)
        draft.deny(scopeAround(written), `the scope ${written} of policy ${name} is not a repository`);
      else if (verdict === undefined) draft.deny(scope, `policy ${name} uses what cannot be said here`);
      else draft.add(scope, verdict, mode);
    }
  }
  return draft.finish();
}

interface Outcome {
  readonly verdict?: Verdict;
  readonly mode?: 'audit';
}

async function verdictOf(
  policy: JsonObject,
  name: string,
  files: ImportFiles,
  draft: Draft,
): Promise<Outcome> {
  const verification = objectAt(policy, 'signatureVerification');
  const level = textAt(verification, 'level') ?? 'that is missing';
  const override = objectAt(verification, 'override');
  const wrong = wrongOverride(override, level);
  if (wrong !== undefined) {
    draft.note(`policy ${name}: ${wrong}`);
    return {};
  }
  if (level === 'skip') return { verdict: { allow: `the policy ${name} of Notation skips verification` } };
  const checks = LEVELS.get(level);
  if (checks === undefined) {
    draft.note(`policy ${name}: the level ${level} is not known`);
    return {};
  }
  const action = (check: Check): string => textAt(override, check) ?? checks[check];
  const isAudit = action('authenticity') === 'log';
  const stores = await storesOf(policy, name, files, draft);
  const identities = identitiesOf(policy, name, draft);
  if (stores === undefined || identities === undefined) return {};
  // With a store of time-stamp authorities a time stamp is demanded there, unless the policy says otherwise.
  const isStamped =
    stores.timestampAuthorities !== undefined &&
    action('authenticTimestamp') === 'enforce' &&
    textAt(verification, 'verifyTimestamp') !== 'afterCertExpiry';
  const logged = (['expiry', 'authenticTimestamp'] as const).filter((check) => action(check) !== 'enforce');
  const revocation = REVOCATION.get(action('revocation'));
  const verdict = {
    signatures: [
      {
        ...stores,
        ...(identities.length > 0 && { identities }),
        ...(isStamped && { timestamp: 'required' as const }),
        ...(logged.length > 0 && { logged }),
        ...(revocation !== undefined && { revocation }),
      },
    ],
  };
  return { verdict, ...(isAudit && { mode: 'audit' as const }) };
}

type Check = 'authenticity' | 'authenticTimestamp' | 'expiry' | 'revocation';

/** What the levels say of each check (Notary Project, "Signature Verification details"). */
const LEVELS: ReadonlyMap<string, Readonly<Record<Check, string>>> = new Map([
  [
    'strict',
    { authenticity: 'enforce', authenticTimestamp: 'enforce', expiry: 'enforce', revocation: 'enforce' },
  ],
  ['permissive', { authenticity: 'enforce', authenticTimestamp: 'log', expiry: 'log', revocation: 'log' }],
  ['audit', { authenticity: 'log', authenticTimestamp: 'log', expiry: 'log', revocation: 'log' }],
]);

const REVOCATION: ReadonlyMap<string, RevocationMode> = new Map([
  ['enforce', 'enforce'],
  ['log', 'log'],
]);

/** Why an override means nothing in Notation, or nothing that can be said here; undefined where it does. */
function wrongOverride(override: JsonObject, level: string): string | undefined {
  const names = Object.keys(override);
  if (names.length > 0 && level === 'skip') return 'the level skip cannot be overridden';
  for (const name of names) {
    if (name === 'integrity') return 'integrity cannot be overridden';
    if (!['authenticity', 'authenticTimestamp', 'expiry', 'revocation'].includes(name))
      return `there is no check ${JSON.stringify(name)} to override`;
    const action = textAt(override, name) ?? '';
    if (!['enforce', 'log', 'skip'].includes(action))
      return `the action ${JSON.stringify(override[name])} for ${name} is not known`;
    if (name === 'authenticity' && action === 'skip') return 'without authenticity nothing is proven';
  }
  return undefined;
}

/** Certificates of the trust stores; undefined where one cannot be carried over. */
async function storesOf(
  policy: JsonObject,
  name: string,
  files: ImportFiles,
  draft: Draft,
): Promise<Pick<SignatureDocument, 'authorities' | 'timestampAuthorities'> | undefined> {
  const found = new Map<string, string[]>([
    ['ca', []],
    ['tsa', []],
  ]);
  for (const store of textsIn(policy, 'trustStores')) {
    const [type = '', storeName = ''] = store.split(':', 2);
    const isName = /^[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*$/.test(storeName);
    const certificates = found.has(type) && isName ? await files.trustStore(type, storeName) : [];
    if (certificates.length === 0) {
      const why = found.has(type) ? 'is missing or empty' : 'cannot be said here';
      draft.note(`policy ${name}: the trust store ${store} ${why}`);
      return undefined;
    }
    found.get(type)?.push(...certificates);
  }
  const [authorities = [], timestampAuthorities = []] = [...found.values()];
  if (authorities.length === 0) return undefined;
  return { authorities, ...(timestampAuthorities.length > 0 && { timestampAuthorities }) };
}

/** Empty for every identity; undefined where one cannot be carried over. */
function identitiesOf(policy: JsonObject, name: string, draft: Draft): readonly string[] | undefined {
  const trusted = textsIn(policy, 'trustedIdentities');
  if (trusted.length === 1 && trusted[0] === '*') return [];
  if (trusted.length > 0 && trusted.every((identity) => identity.startsWith('x509.subject:'))) return trusted;
  draft.note(`policy ${name}: the identities ${trusted.join('; ') || '(none)'} cannot be said here`);
  return undefined;
}
