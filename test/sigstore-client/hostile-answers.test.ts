import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSigner } from '../../src/crypto/signer.ts';
import { base64, fromBase64 } from '../../src/encoding/bytes.ts';
import { isBullaError } from '../../src/errors.ts';
import { HttpPool } from '../../src/http/pool.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { buildWitnessedBundle } from '../../src/signatures/witnessed-bundle.ts';
import { parseSigningConfig } from '../../src/sigstore/signing-config.ts';
import { parseTrustedRoot } from '../../src/sigstore/trusted-root.ts';
import { sigstoreInstance } from '../../src/sigstore-client/instance.ts';
import { SigstoreServer, token } from '../support/sigstore/server.ts';

const now = new Date('2026-12-01T00:00:00Z');
const key = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const statement = { digest: digestOf(new Uint8Array([1])), annotations: new Map<string, string>() };

let server: SigstoreServer;
let pool: HttpPool;
beforeAll(async () => {
  server = await SigstoreServer.start(now);
  pool = new HttpPool();
});
afterAll(async () => {
  await pool.close();
  await server.stop();
});

/** Signs keyless. @returns the code of the refusal; `signed` where a bundle was made, which was verified then */
async function sign(rekor: 1 | 2): Promise<string> {
  const witness = sigstoreInstance({
    services: parseSigningConfig(server.signingConfig(rekor), now, 'the config'),
    root: parseTrustedRoot(server.instance.trustedRoot(), 'the root'),
    token: async () => token(),
    pool,
    now,
  });
  try {
    await buildWitnessedBundle(statement, key, witness, {});
    return 'signed';
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return error.code;
  }
}

type Path = readonly string[];

function* leaves(value: unknown, path: Path = []): Generator<Path> {
  if (path.length > 0) yield path;
  if (typeof value !== 'object' || value === null) return;
  for (const [name, inner] of Object.entries(value)) yield* leaves(inner, [...path, name]);
}

/** The same document with one member altered; left out where it becomes undefined. */
function altered(bytes: Uint8Array, path: Path, how: (value: unknown) => unknown): Uint8Array {
  const root = JSON.parse(String(Buffer.from(bytes))) as Record<string, unknown>;
  let at = root;
  for (const name of path.slice(0, -1)) at = at[name] as Record<string, unknown>;
  const last = path.at(-1) ?? '';
  const value = how(at[last]);
  if (value === undefined && Array.isArray(at)) at.splice(Number(last), 1);
  else if (value === undefined) delete at[last];
  else at[last] = value;
  return Buffer.from(JSON.stringify(root));
}

function flipped(value: unknown): unknown {
  if (typeof value === 'number') return value + 1;
  if (typeof value !== 'string') return 'x';
  const bytes = fromBase64(value);
  if (bytes === undefined || bytes.byteLength < 4 || /^[0-9a-f]{64}$/.test(value))
    return value.replace(/[0-9A-Za-z]/, (one) => (one === '0' ? '1' : '0'));
  bytes[bytes.byteLength >> 1] = (bytes[bytes.byteLength >> 1] ?? 0) ^ 1;
  return base64(bytes);
}

const HOWS: readonly (readonly [string, (value: unknown) => unknown])[] = [
  ['left out', () => undefined],
  ['altered', flipped],
  ['null', () => null],
  ['a list', () => [[]]],
];

describe.each([
  ['Fulcio', '/fulcio', 2, ['signedCertificateEmbeddedSct.chain.certificates.1']],
  ['Rekor v1', '/rekor1', 1, []],
  ['Rekor v2', '/rekor2', 2, []],
] as const)('an answer of %s of which one member is', (_, path, rekor, unused) => {
  let answer = new Uint8Array();
  beforeAll(async () => {
    server.alter = (at, body) => {
      if (at.startsWith(path)) answer = Uint8Array.from(body);
      return body;
    };
    expect(await sign(rekor)).toBe('signed');
  });

  it.each(HOWS)('%s makes no signature', async (_name, how) => {
    const accepted: string[] = [];
    for (const place of leaves(JSON.parse(String(Buffer.from(answer))))) {
      server.alter = (at, body) => (at.startsWith(path) ? altered(body, place, how) : body);
      if ((await sign(rekor)) === 'signed') accepted.push(place.join('.'));
    }
    // Issuers come from the trusted root.
    expect(accepted.filter((place) => !(unused as readonly string[]).includes(place))).toEqual([]);
  });
});

describe('an answer of the time-stamp authority', () => {
  it('of which an octet is altered or left out makes no signature', async () => {
    let answer = new Uint8Array();
    server.alter = (at, body) => {
      if (at.startsWith('/tsa')) answer = Uint8Array.from(body);
      return body;
    };
    expect(await sign(2)).toBe('signed');
    // Two members say what SignerInfo and the tag say as well, and are not signed (RFC 5652 §5.1, §5.3).
    const algorithms = Buffer.from(answer).indexOf(Buffer.from('608648016503040201', 'hex'));
    const version = Buffer.from(answer).indexOf(Buffer.from([2, 1, 1]), algorithms + 40);
    const isUnsigned = (at: number): boolean =>
      Math.abs(at - algorithms) <= 10 || (at >= version && at <= version + 2);
    for (let at = 0; at < answer.byteLength; at += 13) {
      for (const isCut of [true, false]) {
        if (isCut ? at % 39 !== 0 : isUnsigned(at)) continue;
        server.alter = (path, body) => {
          if (!path.startsWith('/tsa')) return body;
          const copy = Uint8Array.from(body);
          copy[at] = (copy[at] ?? 0) ^ 1;
          return isCut ? body.subarray(0, at) : copy;
        };
        expect(await sign(2), `${isCut ? 'cut' : 'altered'} at ${at}`).not.toBe('signed');
      }
    }
  });
});
