import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { createCertificate } from '../../crypto/certificate-build.ts';
import { formatPem } from '../../crypto/pem.ts';
import { privateKeyPem } from '../../crypto/private-key.ts';
import { createSigner } from '../../crypto/signer.ts';
import { isJsonObject, type JsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import type { TlsFiles } from '../listener.ts';

/** Whose certificate it is, and which webhook configurations have to trust it. */
export interface CertificateOwner {
  readonly namespace: string;
  readonly service: string;
  /** Name of the MutatingWebhookConfiguration and of the ValidatingWebhookConfiguration. */
  readonly configuration: string;
}

/** A certificate of the gate, with the authorities that the API server has to trust. */
export interface OwnCertificate extends TlsFiles {
  readonly cert: string;
  readonly key: string;
  /** PEM; the newest comes first. */
  readonly authorities: string;
  readonly expires: Date;
}

const DAY_MS = 86_400_000;
const LIFETIME_MS = 365 * DAY_MS;
/** A third of the lifetime is left for a renewal that fails. */
const RENEW_BEFORE_MS = LIFETIME_MS / 3;
const SKEW_MS = 300_000;
const TRIES = 5;
const CONFIGURATIONS = '/apis/admissionregistration.k8s.io/v1';
const KINDS = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'] as const;

type Api = Pick<KubernetesClient, 'get' | 'create' | 'replace' | 'patch'>;

/**
 * The certificate in the Secret `SERVICE-tls`, which replicas share; made where there is none, or the one that is there
 * ends soon. The API server trusts it when this returns (spec/gate.md, "Certificates").
 * @throws BullaError forbidden, unauthorized, registry-unreachable, …
 */
export async function ownCertificate(api: Api, owner: CertificateOwner, now: Date): Promise<OwnCertificate> {
  const certificate = await storedOrNew(api, owner, now);
  for (const kind of KINDS)
    await trust(api, `${CONFIGURATIONS}/${kind}/${owner.configuration}`, owner, certificate);
  return certificate;
}

async function storedOrNew(api: Api, owner: CertificateOwner, now: Date): Promise<OwnCertificate> {
  const secrets = `/api/v1/namespaces/${owner.namespace}/secrets`;
  const name = `${owner.service}-tls`;
  for (let tries = 1; ; tries++) {
    const stored = await api.get(`${secrets}/${name}`);
    const usable = stored === undefined ? undefined : certificateIn(stored, owner);
    if (usable !== undefined && usable.expires.getTime() - now.getTime() > RENEW_BEFORE_MS) return usable;
    const made = await makeCertificate(owner, now, usable?.authorities);
    try {
      if (stored === undefined) await api.create(secrets, secretOf(owner, name, made));
      else await api.replace(`${secrets}/${name}`, { ...stored, data: dataOf(made) });
      return made;
    } catch (error) {
      // Another replica was faster: its certificate is as good.
      if (!isBullaError(error, 'conflict') || tries === TRIES) throw error;
    }
  }
}

/** @param before authorities that are trusted until now: other replicas use their certificates for a while */
async function makeCertificate(
  owner: CertificateOwner,
  now: Date,
  before: string | undefined,
): Promise<OwnCertificate> {
  const notBefore = new Date(now.getTime() - SKEW_MS);
  const notAfter = new Date(now.getTime() + LIFETIME_MS);
  const authority = newKey();
  const server = newKey();
  const issuer = { subject: 'CN=bulla-gate-ca', signer: createSigner(authority) };
  const root = await createCertificate(
    {
      subject: issuer.subject,
      publicKey: issuer.signer.publicKey,
      notBefore,
      notAfter,
      authority: { pathLength: 0 },
    },
    issuer,
  );
  const leaf = await createCertificate(
    {
      ...{ subject: 'CN=bulla-gate', publicKey: createSigner(server).publicKey, notBefore, notAfter },
      dnsNames: namesOf(owner),
    },
    issuer,
  );
  const previous =
    /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/.exec(before ?? '')?.[0] ?? '';
  return {
    cert: formatPem('CERTIFICATE', leaf),
    key: privateKeyPem(server),
    authorities: `${formatPem('CERTIFICATE', root)}${previous}`,
    expires: notAfter,
  };
}

function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

function namesOf({ namespace, service }: CertificateOwner): string[] {
  const name = `${service}.${namespace}`;
  return [`${name}.svc`, `${name}.svc.cluster.local`, name];
}

/** What a Secret holds; undefined where it is not a certificate for this service. */
function certificateIn(secret: JsonObject, owner: CertificateOwner): OwnCertificate | undefined {
  const data = secret['data'];
  const text = (name: string): string => {
    const value = isJsonObject(data) ? data[name] : undefined;
    return typeof value === 'string' ? Buffer.from(value, 'base64').toString('latin1') : '';
  };
  const [cert, key, authorities] = [text('tls.crt'), text('tls.key'), text('ca.crt')];
  try {
    const leaf = new X509Certificate(cert);
    const isOurs = namesOf(owner).every((name) => leaf.checkHost(name) !== undefined);
    if (!isOurs || key === '' || !leaf.checkIssued(new X509Certificate(authorities))) return undefined;
    return { cert, key, authorities, expires: new Date(leaf.validTo) };
  } catch {
    // What is not readable is replaced.
    return undefined;
  }
}

function secretOf({ namespace }: CertificateOwner, name: string, certificate: OwnCertificate): JsonObject {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace },
    type: 'kubernetes.io/tls',
    data: dataOf(certificate),
  };
}

function dataOf({ cert, key, authorities }: OwnCertificate): JsonObject {
  const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');
  return { 'tls.crt': base64(cert), 'tls.key': base64(key), 'ca.crt': base64(authorities) };
}

/** Has a webhook configuration trust the authorities, in all its webhooks that lead to the service. */
async function trust(
  api: Api,
  path: string,
  owner: CertificateOwner,
  { authorities }: OwnCertificate,
): Promise<void> {
  const bundle = Buffer.from(authorities, 'latin1').toString('base64');
  const configuration = await api.get(path);
  // Where one of the two is installed later, this is done again soon.
  if (configuration === undefined || !Array.isArray(configuration['webhooks'])) return;
  const operations = configuration['webhooks'].flatMap((webhook, at) =>
    isJsonObject(webhook) && lacks(webhook, owner, bundle)
      ? [
          // The place is of no other webhook meanwhile.
          { op: 'test', path: `/webhooks/${at}/name`, value: webhook['name'] ?? null },
          { op: 'add', path: `/webhooks/${at}/clientConfig/caBundle`, value: bundle },
        ]
      : [],
  );
  if (operations.length > 0) await api.patch(path, operations);
}

function lacks(
  { clientConfig }: JsonObject,
  { namespace, service }: CertificateOwner,
  bundle: string,
): boolean {
  if (!isJsonObject(clientConfig) || clientConfig['caBundle'] === bundle) return false;
  const target = clientConfig['service'];
  return isJsonObject(target) && target['name'] === service && target['namespace'] === namespace;
}

/** `NAMESPACE/NAME`. @throws BullaError usage */
export function parseObjectName(
  text: string,
  flag: string,
): { readonly namespace: string; readonly name: string } {
  const [, namespace, name] =
    /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\/([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)$/.exec(text) ?? [];
  if (namespace !== undefined && name !== undefined) return { namespace, name };
  throw new BullaError('usage', `${flag} is ${JSON.stringify(text)}, not NAMESPACE/NAME`, {
    hint: `write ${flag} bulla-system/bulla-gate`,
  });
}
