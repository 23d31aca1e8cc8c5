import { type KeyObject, sign } from 'node:crypto';

const ECDSA_WITH_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex');
/** Extension subjectAltName (RFC 5280 §4.2.1.6): IP 127.0.0.1, DNS localhost. */
const LOOPBACK_NAMES = Buffer.from('301a0603551d110413301182096c6f63616c686f737487047f000001', 'hex');
const COMMON_NAME = Buffer.from('0603550403', 'hex');

/**
 * The least certificate that a Go program takes as a root: version 3, signed by its own P-256 key.
 * With `loopbackServer`, it is one of a server at 127.0.0.1 and localhost.
 * @returns DER, valid from an hour ago until tomorrow if nothing else is said
 */
export function selfSignedCertificate(
  name: string,
  keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
  options: {
    readonly loopbackServer?: boolean;
    /** When it begins and ends to be valid, in milliseconds. */
    readonly validity?: readonly [from: number, to: number];
    /** Who signs it; itself if left out. */
    readonly issuer?: { readonly name: string; readonly privateKey: KeyObject };
  } = {},
): Buffer {
  const now = Date.now();
  const [from, to] = options.validity ?? [now - 3_600_000, now + 86_400_000];
  const { issuer = { name, privateKey: keys.privateKey } } = options;
  const distinguished = (common: string): Buffer =>
    der(0x30, der(0x31, der(0x30, COMMON_NAME, der(0x0c, Buffer.from(common)))));
  const body = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    ECDSA_WITH_SHA256,
    distinguished(issuer.name),
    der(0x30, time(from), time(to)),
    distinguished(name),
    keys.publicKey.export({ format: 'der', type: 'spki' }),
    ...(options.loopbackServer === true ? [der(0xa3, der(0x30, LOOPBACK_NAMES))] : []),
  );
  const signature = sign('sha256', body, issuer.privateKey);
  return der(0x30, body, ECDSA_WITH_SHA256, der(0x03, Buffer.from([0]), signature));
}

/** Bytes as PEM. */
export function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').replaceAll(/.{64}/g, '$&\n').trim();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

function time(milliseconds: number): Buffer {
  const text = `${new Date(milliseconds).toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`;
  return der(0x18, Buffer.from(text));
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const length =
    content.length < 128
      ? [content.length]
      : content.length < 256
        ? [0x81, content.length]
        : [0x82, content.length >> 8, content.length & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}
