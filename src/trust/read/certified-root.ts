import { type Certificate, parseCertificates } from '../../crypto/certificate.ts';
import { checkCertificationPath, commonNameOf, urisOf } from '../../crypto/certification-path.ts';
import { fromBase64 } from '../../encoding/bytes.ts';
import { isJsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { isSamePlace } from '../../oci/place.ts';
import { distinctKeys } from '../../tuf/delegation-keys.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import { type Root, topLevelKeys } from '../../tuf/root.ts';
import { countSignatures } from '../../tuf/threshold.ts';
import type { Trusted } from '../../tuf/trusted-metadata.ts';
import { bindingOf, rootBindingOf } from '../format/binding.ts';
import { covers } from './pin.ts';

/** Scheme of the URI by which a certificate names the collections that its key may sign roots of. */
const SCHEME = 'oci://';

/**
 * Demands that a root meets its own threshold with keys whose certificates lead to one of the
 * authorities and name its collection (spec/trust-reading.md, "Authorities").
 * @param time when the certificates must be valid; undefined for an old root: at some one time
 * @throws BullaError certificate-expired where nothing else is wrong with as many as are missing;
 *   trust-invalid (details.reason `pin`)
 */
export function assertCertified(
  { file, content }: Trusted<Root>,
  authorities: readonly Certificate[],
  time: Date | undefined,
): void {
  const { collection } = rootBindingOf(file);
  const { keyids, threshold } = topLevelKeys(content, 'root');
  const refusals = new Map<string, BullaError>();
  const certified = keyids.filter((keyid) => {
    try {
      assertKeyCertified(file, content, keyid, collection, authorities, time);
      return true;
    } catch (error) {
      if (!isBullaError(error, 'certificate-invalid', 'certificate-expired')) throw error;
      refusals.set(keyid, error);
      return false;
    }
  });
  if (countSignatures(file, content.keys, { keyids: certified, threshold }).isMet) return;
  throw uncertified(content, threshold, certified, refusals);
}

function assertKeyCertified(
  file: MetadataFile,
  root: Root,
  keyid: string,
  collection: string,
  authorities: readonly Certificate[],
  time: Date | undefined,
): void {
  const chain = certificatesOf(file, keyid);
  const [own] = chain;
  if (own === undefined) throw invalid('no certificates are given for it');
  if (own.publicKey.fingerprint !== root.keys.get(keyid)?.fingerprint)
    throw invalid('its first certificate is one for another key');
  if (!namesCollection(own, collection)) throw invalid(`its certificate does not name ${collection}`);
  checkCertificationPath(chain, authorities, time);
}

/**
 * Certificates that a root gives for one of its keys, the key's own first.
 * @throws BullaError certificate-invalid
 */
export function certificatesOf(file: MetadataFile, keyid: string): readonly Certificate[] {
  const all = bindingOf(file)['certificates'];
  const list = isJsonObject(all) ? all[keyid] : undefined;
  if (list === undefined) return [];
  const ders = Array.isArray(list)
    ? list.map((text) => (typeof text === 'string' ? fromBase64(text) : undefined))
    : [undefined];
  const whole = ders.filter((der) => der !== undefined);
  if (whole.length < ders.length) throw invalid('its certificates are not written in base64');
  return parseCertificates(whole, `the certificates of the root key ${keyid.slice(0, 12)}`);
}

/** By URI, or, in certificates of Notary v1, which have none of ours, by common name. */
function namesCollection(certificate: Certificate, collection: string): boolean {
  const scopes = urisOf(certificate).flatMap((uri) =>
    uri.startsWith(SCHEME) ? uri.slice(SCHEME.length) : [],
  );
  if (scopes.length === 0) return isSamePlace(commonNameOf(certificate) ?? '', collection);
  return scopes.some((scope) => covers(scope, collection));
}

function invalid(why: string): BullaError {
  return new BullaError('certificate-invalid', why, {
    hint: 'give the root key a certificate of the authority that names the collection (URI oci://HOST/REPOSITORY)',
  });
}

function uncertified(
  { version, keys }: Root,
  threshold: number,
  certified: readonly string[],
  refusals: ReadonlyMap<string, BullaError>,
): BullaError {
  const expired = [...refusals].flatMap(([keyid, error]) =>
    isBullaError(error, 'certificate-expired') ? [keyid] : [],
  );
  const isMetWithExpired = distinctKeys(keys, [...certified, ...expired]).size >= threshold;
  const code = isMetWithExpired ? 'certificate-expired' : 'trust-invalid';
  const reasons = [...refusals].map(([keyid, { message }]) => `${keyid.slice(0, 12)}: ${message}`);
  return new BullaError(
    code,
    `root ${version} is signed by too few keys that the pinned authority certifies (${threshold} are needed): ${reasons.join('; ')}`,
    {
      hint:
        code === 'certificate-expired'
          ? 'have the certificates of the root keys renewed, and publish the root again: bulla rotate'
          : 'it is not the collection that was pinned, or its root keys lack certificates: ask its publisher',
      details: {
        role: 'root',
        reason: 'pin',
        version,
        refused: Object.fromEntries([...refusals].map(([keyid, { message }]) => [keyid, message])),
      },
    },
  );
}
