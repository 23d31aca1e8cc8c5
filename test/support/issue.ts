import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { type Certificate, parseCertificate } from '../../src/crypto/certificate.ts';
import { createSigner, type Signer } from '../../src/crypto/signer.ts';

/** A certificate with its key, to be issued from or signed with. */
export interface Issued {
  readonly subject: Name;
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
  readonly signer: Signer;
}

/** Attributes in order: `{ C: 'DE', O: 'Acme' }`. */
export type Name = Readonly<Record<string, string>>;

/** What a certificate says; whatever a test wants it to say, however wrong. */
export interface IssueOptions {
  readonly subject: Name;
  /** Its own relative names instead of `subject`'s: type, value, and the tag of its string (12, UTF8String, if left out). */
  readonly relative?: readonly (readonly (readonly [type: string, value: string, tag?: number])[])[];
  /** Itself if left out. */
  readonly issuer?: Issued;
  readonly ca?: boolean;
  /** Whether basicConstraints is critical; null: no such extension. */
  readonly constraints?: boolean | null;
  readonly pathLength?: number;
  /** Bits of keyUsage: 0 digitalSignature, 2 keyEncipherment, 5 keyCertSign; null: no such extension. */
  readonly usages?: readonly number[] | null;
  readonly usageCritical?: boolean;
  /** Object identifiers. */
  readonly extended?: readonly string[];
  /** An object identifier of an extension that nobody knows, marked critical. */
  readonly strange?: string;
  /** Further extensions: identifier, value in DER, and whether it is critical. */
  readonly more?: readonly (readonly [oid: string, value: Uint8Array, critical?: boolean])[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly keys?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  /** Sign with SHA-1. */
  readonly weak?: boolean;
}

export const NOT_BEFORE: Date = new Date('2026-01-01T00:00:00Z');
export const NOT_AFTER: Date = new Date('2028-01-01T00:00:00Z');

export const EKU = {
  any: '2.5.29.37.0',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  emailProtection: '1.3.6.1.5.5.7.3.4',
  ipsecEndSystem: '1.3.6.1.5.5.7.3.5',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  ipsecIke: '1.3.6.1.5.5.7.3.17',
} as const;

const TYPES: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  C: '2.5.4.6',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  SERIALNUMBER: '2.5.4.5',
  E: '1.2.840.113549.1.9.1',
};
let serial = 1000;

/** Issues a certificate byte by byte, so that it can be as wrong as an attacker's. Signed with ECDSA or RSA. */
export function issue(options: IssueOptions): Issued {
  const keys = options.keys ?? generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuerKey = options.issuer?.privateKey ?? keys.privateKey;
  const hash = options.weak === true ? 'sha1' : 'sha256';
  const algorithm = signatureAlgorithm(issuerKey, hash);
  const body = der(
    0x30,
    der(0xa0, integer(2)),
    integer(serial++),
    algorithm,
    nameOf(options.issuer?.subject ?? options.subject),
    der(0x30, time(options.notBefore ?? NOT_BEFORE), time(options.notAfter ?? NOT_AFTER)),
    options.relative === undefined ? nameOf(options.subject) : relativeNames(options.relative),
    keys.publicKey.export({ format: 'der', type: 'spki' }),
    der(0xa3, der(0x30, ...extensionsOf(options))),
  );
  const signature = sign(hash, body, issuerKey);
  const bytes = new Uint8Array(der(0x30, body, algorithm, der(0x03, Buffer.from([0]), signature)));
  return {
    subject: options.subject,
    certificate: parseCertificate(bytes, 'test certificate'),
    privateKey: keys.privateKey,
    signer: createSigner(keys.privateKey),
  };
}

export const ROOT_NAME: Name = { C: 'DE', ST: 'Berlin', O: 'Acme', CN: 'Root' };
export const LEAF_NAME: Name = { C: 'DE', ST: 'Berlin', O: 'Acme', CN: 'release' };

export interface Chain {
  readonly root: Issued;
  readonly leaf: Issued;
  /** Leaf first. */
  readonly chain: readonly Certificate[];
}

/** A root and a leaf of Notation's profile, with what a test wants different. */
export function issueChain(leaf: Partial<IssueOptions> = {}, root: Partial<IssueOptions> = {}): Chain {
  const issuer = issue({ subject: ROOT_NAME, ca: true, usages: [5], ...root });
  const issued = issue({ subject: LEAF_NAME, issuer, usages: [0], extended: [EKU.codeSigning], ...leaf });
  return { root: issuer, leaf: issued, chain: [issued.certificate, issuer.certificate] };
}

function extensionsOf(options: IssueOptions): Buffer[] {
  const { ca = false, constraints: critical = true, pathLength, usages = [0] } = options;
  const { usageCritical = true, extended = [], strange } = options;
  const constraints = der(
    0x30,
    ...(ca ? [der(0x01, Buffer.from([0xff]))] : []),
    ...(pathLength === undefined ? [] : [integer(pathLength)]),
  );
  return [
    ...(critical === null ? [] : [extension('2.5.29.19', critical, constraints)]),
    ...(usages === null ? [] : [extension('2.5.29.15', usageCritical, bits(usages))]),
    ...(extended.length === 0 ? [] : [extension('2.5.29.37', false, der(0x30, ...extended.map(oid)))]),
    ...(strange === undefined ? [] : [extension(strange, true, der(0x05))]),
    ...(options.more ?? []).map(([id, value, critical = false]) =>
      extension(id, critical, Buffer.from(value)),
    ),
  ];
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return der(0x30, oid(id), ...(critical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value));
}

function bits(set: readonly number[]): Buffer {
  const octets = [0, 0];
  for (const bit of set) octets[bit >> 3] = (octets[bit >> 3] as number) | (0x80 >> (bit & 7));
  const used = octets[1] === 0 ? octets.slice(0, 1) : octets;
  const last = used.at(-1) as number;
  const unused = last === 0 ? 0 : 31 - Math.clz32(last & -last);
  return der(0x03, Buffer.from([unused, ...used]));
}

function signatureAlgorithm(key: KeyObject, hash: 'sha1' | 'sha256'): Buffer {
  if (key.asymmetricKeyType === 'rsa') {
    return der(0x30, oid(hash === 'sha1' ? '1.2.840.113549.1.1.5' : '1.2.840.113549.1.1.11'), der(0x05));
  }
  return der(0x30, oid(hash === 'sha1' ? '1.2.840.10045.4.1' : '1.2.840.10045.4.3.2'));
}

function nameOf(name: Name): Buffer {
  const attributes = Object.entries(name).map(([type, value]) =>
    der(0x31, der(0x30, oid(TYPES[type] as string), der(0x0c, Buffer.from(value)))),
  );
  return der(0x30, ...attributes);
}

function relativeNames(names: NonNullable<IssueOptions['relative']>): Buffer {
  const relative = names.map((attributes) =>
    der(
      0x31,
      ...attributes.map(([type, value, tag = 0x0c]) =>
        der(
          0x30,
          oid(TYPES[type] ?? type),
          der(tag, tag === 0x1e ? Buffer.from(value, 'utf16le').swap16() : Buffer.from(value)),
        ),
      ),
    ),
  );
  return der(0x30, ...relative);
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const octets = [40 * first + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return der(0x06, Buffer.from(octets));
}

function integer(value: number): Buffer {
  const octets = [value & 0xff];
  for (let left = value >> 8; left > 0; left >>= 8) octets.unshift(left & 0xff);
  if ((octets[0] as number) >= 0x80) octets.unshift(0);
  return der(0x02, Buffer.from(octets));
}

/** UTCTime, as RFC 5280 has it until 2049. */
function time(at: Date): Buffer {
  return der(0x17, Buffer.from(`${at.toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)}Z`));
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}
