import type { Command } from 'commander';
import type { Certificate } from '../../crypto/certificate.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { Requirements } from '../../policy/requirements.ts';
import type { Context } from '../shell/context.ts';
import {
  addKeylessOptions,
  asksForKeyless,
  isSubject,
  type KeylessFlags,
  keylessOf,
} from './keyless-flags.ts';

import { collect, positiveInteger } from './values.ts';

/** Flags that say whose signatures are trusted; for `verify`, and for `pull`, which verifies first. */
export interface SignatureFlags extends KeylessFlags {
  readonly key?: readonly string[];
  readonly ca?: readonly string[];
  readonly timestampAuthority?: readonly string[];
  readonly threshold?: number;
  readonly purpose?: readonly string[];
  readonly type?: readonly string[];
  readonly annotation?: readonly string[];
}

/** Adds the flags of {@link SignatureFlags} to a command. */
export function addSignatureOptions(command: Command): Command {
  const withAuthorities = command
    .option('-k, --key <key>', 'trusted public key: NAME of the key store, or PATH; repeatable', collect)
    .option('--ca <file>', 'certificate of a trusted CA (PEM); repeatable', collect)
    .option(
      '--certificate-identity <identity>',
      'trusted identity that it certifies: "x509.subject: C=DE, O=Acme, CN=release"; repeatable',
      collect,
    );
  return addKeylessOptions(withAuthorities)
    .option(
      '--timestamp-authority <file>',
      'with --ca: root certificate of a time-stamp authority, by whose word a signature outlives its certificates; repeatable',
      collect,
    )
    .option('--threshold <n>', 'minimum number of different signers (default: 1)', positiveInteger)
    .option('--purpose <uri>', 'predicate type that signatures must have; repeatable', collect)
    .option(
      '--type <type>',
      'require an attestation of this type: slsaprovenance1, spdxjson, cyclonedx, vuln, vsa, or a URI; repeatable',
      collect,
    )
    .option('-a, --annotation <key=value>', 'annotation that must be signed; repeatable', collect);
}

/** Whether the command line says anything about detached signatures. */
export function asksForSignatures(flags: SignatureFlags): boolean {
  const { key, ca, timestampAuthority, certificateIdentity, threshold, purpose, type, annotation } = flags;
  return (
    asksForKeyless(flags) ||
    [key, ca, timestampAuthority, certificateIdentity, threshold, purpose, type, annotation].some(
      (flag) => flag !== undefined,
    )
  );
}

/**
 * What the flags demand of signatures. Without a key and an authority, the person's default key is
 * trusted, where there is one.
 * @throws BullaError trust-unpinned; usage, not-found, key-invalid, certificate-invalid, storage-error
 */
export async function requirementsOf(context: Context, flags: SignatureFlags): Promise<Requirements> {
  const [{ requirements }, { parseIdentity }] = await Promise.all([
    import('../../policy/requirements.ts'),
    import('../../crypto/identity.ts'),
  ]);
  const { key = [], ca = [], timestampAuthority = [], certificateIdentity = [] } = flags;
  const keyless = await keylessOf(context, flags);
  const isNobodyNamed = key.length === 0 && ca.length === 0 && keyless === undefined;
  const specs = isNobodyNamed ? await defaultKeys(context) : key;
  const required = requirements({
    keys: (await Promise.all(specs.map((spec) => publicKeys(context, spec)))).flat(),
    roots: (await Promise.all(ca.map((path) => certificates(context, path)))).flat(),
    identities: certificateIdentity
      .filter((text) => keyless === undefined || isSubject(text))
      .map((text) => parseIdentity(text)),
    timestampAuthorities: (
      await Promise.all(timestampAuthority.map((path) => certificates(context, path)))
    ).flat(),
    keyless,
    annotations: parsePairs(flags.annotation ?? []),
    now: context.io.now(),
    ...(flags.threshold !== undefined && { threshold: flags.threshold }),
    ...((flags.purpose ?? flags.type) !== undefined && { purposes: await purposesOf(flags) }),
  });
  await warnOfAnyIdentity(context, required);
  return required;
}

/** Predicate types, one of which a signature must have. @throws BullaError usage */
async function purposesOf({ purpose = [], type = [] }: SignatureFlags): Promise<readonly string[]> {
  if (type.length === 0) return purpose;
  const { predicateType } = await import('../../signatures/predicates.ts');
  return [...purpose, ...type.map(predicateType)];
}

/** An authority certifies many: without an identity, any of them can sign any image. `*` says so and is not warned of. */
async function warnOfAnyIdentity({ output }: Context, { roots, identities }: Requirements): Promise<void> {
  const authorities = identities.length > 0 ? [] : roots.filter(({ isCa }) => isCa);
  if (authorities.length === 0) return;
  const { subjectOf } = await import('../../crypto/certificate.ts');
  output.warn(
    `no signer is given: a signature by any code signing certificate that ${authorities.map(subjectOf).join(' or ')} issues is accepted; restrict the signers with --certificate-identity, or accept all with --certificate-identity '*'`,
  );
}

/** `key=value` of the command line; the value may hold `=`. @throws BullaError usage */
export function parsePairs(texts: readonly string[]): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (const text of texts) {
    const at = text.indexOf('=');
    const name = text.slice(0, Math.max(at, 0));
    if (name === '' || pairs.has(name)) {
      const why = name === '' ? 'is not key=value' : 'gives a value to a key that has one';
      throw new BullaError('usage', `the annotation ${JSON.stringify(text)} ${why}`, {
        hint: 'write -a key=value, once for each key',
      });
    }
    pairs.set(name, text.slice(at + 1));
  }
  return pairs;
}

async function defaultKeys(context: Context): Promise<readonly string[]> {
  const { defaultKey } = context.settings;
  if (defaultKey !== undefined) return [defaultKey];
  const name = await (await keystore(context)).defaultName();
  return name === undefined ? [] : [name];
}

async function keystore(context: Context): Promise<import('../../keystore/store.ts').Keystore> {
  const { keystoreOf } = await import('./keys.ts');
  return keystoreOf(context);
}

/** Public keys by name or path; a file may hold several. */
async function publicKeys(context: Context, spec: string): Promise<readonly PublicKey[]> {
  const store = await keystore(context);
  if (await store.has(spec)) return [(await store.get(spec)).publicKey];
  if (/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(spec)) {
    throw new BullaError('usage', `${spec} is not a public key`, {
      hint: 'to verify, give --key with a name of the key store or the path of a public key',
    });
  }
  const [{ readPublicFile }, { readPublicKeys }] = await Promise.all([
    import('../../keystore/read.ts'),
    import('../../crypto/public-key.ts'),
  ]);
  const bytes = await readPublicFile(context.path(spec)).catch(async (cause: unknown) => {
    if (!isBullaError(cause, 'not-found') || spec.includes('/')) throw cause;
    // After `bulla key generate release`, many look for a release.pub.
    const stored = spec.replace(/\.(?:pub|key|pem)$/, '');
    throw new BullaError('not-found', `there is no key named ${spec}, and no file of that name`, {
      cause,
      hint: (await store.has(stored))
        ? `the key store has ${stored}: --key ${stored}, or write the file: bulla key export ${stored} --public --out ${stored}.pub`
        : 'check the path; bulla key ls shows the keys of the key store',
    });
  });
  return readPublicKeys(bytes, spec);
}

async function certificates(context: Context, path: string): Promise<readonly Certificate[]> {
  const { readCertificateFile } = await import('../../keystore/key-file.ts');
  return await readCertificateFile(context.path(path));
}
