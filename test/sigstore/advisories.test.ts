import { createHash, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { publicKeyOf } from '../../src/crypto/public-key.ts';
import { base64, fromBase64, utf8 } from '../../src/encoding/bytes.ts';
import { isBullaError } from '../../src/errors.ts';
import { parseTrustedRoot } from '../../src/sigstore/trusted-root.ts';
import { verifyBundle } from '../../src/sigstore/verify.ts';
import { IMAGE, outcomeOfImage } from '../support/sigstore/image-verdict.ts';
import { type Making, SigstoreInstance } from '../support/sigstore/instance.ts';
import { timeStampResponse } from '../support/sigstore/time-stamp-response.ts';

// Advisories of the last three years against verifiers of Sigstore signatures, each as the attack that it describes.
// Those about cosign's older tags are in test/signatures/cosign-legacy-keyless.test.ts.

type Json = { [name: string]: Json };

const instance = new SigstoreInstance();
const alice = { subject: 'alice@example.com', issuer: 'https://accounts.example.com' };
const artifact = utf8('an artifact');
const sha256 = createHash('sha256').update(artifact).digest('hex');
const statementOf = (digest = sha256): Uint8Array =>
  utf8(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { sha256: digest } }],
      predicateType: 'https://slsa.dev/provenance/v1',
      predicate: {},
    }),
  );

function outcome(bundle: Uint8Array, of: SigstoreInstance = instance): string {
  const root = parseTrustedRoot(of.trustedRoot(), 'the root');
  try {
    verifyBundle(bundle, { bytes: artifact }, { identities: [alice] }, root, 'the bundle');
    return 'verified';
  } catch (error) {
    if (!isBullaError(error)) throw error;
    return error.code;
  }
}

function changed(bundle: Uint8Array, change: (json: Json) => void): Uint8Array {
  const json = JSON.parse(String(Buffer.from(bundle))) as Json;
  change(json);
  return utf8(JSON.stringify(json));
}

const material = (json: Json): Json => json['verificationMaterial'] as Json;
const entries = (json: Json): Json[] => material(json)['tlogEntries'] as unknown as Json[];

describe('cosign', () => {
  it.each([1, 2] as const)(
    'GHSA-whqx-f9j3-ch6m: a log entry about another signature proves nothing (Rekor v%d)',
    (rekor) => {
      const bundle = instance.sign(statementOf(), { rekor });
      const other = JSON.parse(String(Buffer.from(instance.sign(statementOf(), { rekor })))) as Json;
      expect(outcome(bundle)).toBe('verified');
      const spliced = changed(bundle, (json) => {
        material(json)['tlogEntries'] = entries(other) as unknown as Json;
      });
      expect(outcome(spliced)).toBe('signature-mismatch');
    },
  );

  it('GHSA-wfqv-66vq-46rm: an issuing certificate must be valid when the signature was made', () => {
    const now = new Date('2026-06-01T12:00:00Z');
    const minutes = (count: number): Date => new Date(now.getTime() + count * 60_000);
    const expiring = new SigstoreInstance(minutes(30));
    const making: Partial<Making> = { now, lifetime: 60 * 60_000 };
    expect(outcome(expiring.sign(statementOf(), { ...making, seen: minutes(29) }), expiring)).toBe(
      'verified',
    );
    expect(outcome(expiring.sign(statementOf(), { ...making, seen: minutes(31) }), expiring)).toBe(
      'certificate-expired',
    );
  });

  it.each([
    ['not JSON', '{'],
    ['a list', '[]'],
    ['no subject', '{"_type":"https://in-toto.io/Statement/v1","predicateType":"x"}'],
    [
      'a subject without a digest',
      '{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a"}],"predicateType":"x"}',
    ],
    [
      'no predicate type',
      `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"${IMAGE.digest.slice(7)}"}}]}`,
    ],
    [
      'another predicate type',
      String(Buffer.from(statementOf(IMAGE.digest.slice(7)))).replace('provenance/v1', 'other/v1'),
    ],
  ])('GHSA-w6c6-c85g-mmv6: an attestation whose payload is %s is refused', async (_, payload) => {
    const code = await outcomeOfImage(
      instance,
      instance.sign(utf8(payload)),
      'https://slsa.dev/provenance/v1',
    );
    expect(code).not.toBe('verified');
    const good = instance.sign(statementOf(IMAGE.digest.slice(7)));
    expect(await outcomeOfImage(instance, good, 'https://slsa.dev/provenance/v1')).toBe('verified');
  });
});

describe('sigstore-go', () => {
  it.each(['tlogEntries', 'rfc3161Timestamps'])(
    'GHSA-cq38-jh5f-37mq: %s without an end are refused before they are verified',
    (name) => {
      const bundle = changed(instance.sign(statementOf()), (json) => {
        const stamps = material(json)['timestampVerificationData'] as Json;
        const at = name === 'tlogEntries' ? material(json) : stamps;
        const [one] = at[name] as unknown as Json[];
        at[name] = Array.from({ length: 1_000 }, () => one) as unknown as Json;
      });
      expect(outcome(bundle)).toBe('content-invalid');
    },
  );

  it('GHSA-9vcr-p3rj-q5q6: an identity is one signer, however many entries and stamps its signature has', () => {
    const bundle = changed(instance.sign(statementOf()), (json) => {
      const [one] = entries(json);
      material(json)['tlogEntries'] = [one, one] as unknown as Json;
    });
    expect(outcome(bundle)).toBe('verified');
  });

  it('GHSA-wqqc-jjcq-vfxm: the key of a log counts only while it is trusted', () => {
    const ended = instance.trustedRoot((root) => {
      for (const log of root['tlogs'] as unknown as { publicKey: { validFor: Json } }[])
        log.publicKey.validFor['end'] = '2026-05-31T00:00:00Z' as unknown as Json;
    });
    const bundle = instance.sign(statementOf());
    const root = parseTrustedRoot(ended, 'the root');
    expect(() => verifyBundle(bundle, { bytes: artifact }, { identities: [alice] }, root, 'x')).toThrow(
      expect.objectContaining({ code: 'signature-mismatch' }),
    );
  });
});

describe('sigstore-js', () => {
  it('GHSA-jfc7-64v2-mr8c: a payload type whose low octets are those of another is another', () => {
    const bundle = changed(instance.sign(statementOf()), (json) => {
      const envelope = json['dsseEnvelope'] as Json;
      const type = envelope['payloadType'] as unknown as string;
      const shifted = [...type]
        .map((one) => String.fromCodePoint((one.codePointAt(0) ?? 0) + 0x100))
        .join('');
      envelope['payloadType'] = shifted as unknown as Json;
    });
    expect(['signature-mismatch', 'unsupported-signature']).toContain(outcome(bundle));
  });

  it('GHSA-xgjw-pm74-86q4, CVE-2024-55655: a time that the log has not signed is not a time', () => {
    const bundle = changed(instance.sign(statementOf(), { rekor: 1, isStamped: false }), (json) => {
      for (const entry of entries(json)) delete entry['inclusionPromise'];
    });
    expect(outcome(bundle)).toBe('signature-mismatch');
  });
});

describe('sigstore-java', () => {
  it.each([1, 2] as const)(
    'GHSA-q4xm-6fjc-5f6w: a time-correct entry about something else is no proof of logging (Rekor v%d)',
    (rekor) => {
      const bundle = changed(instance.sign(statementOf(), { rekor }), (json) => {
        const other = JSON.parse(
          String(Buffer.from(instance.sign(statementOf('1'.repeat(64)), { rekor }))),
        ) as Json;
        material(json)['tlogEntries'] = entries(other) as unknown as Json;
      });
      expect(outcome(bundle)).toBe('signature-mismatch');
    },
  );

  it.each([
    ['altered', (text: string) => text.replace(/.(?==*\n$)/, (end) => (end === 'A' ? 'B' : 'A'))],
    ['by a log of another name', (text: string) => text.replace(/\u2014 \S+/, '\u2014 evil.example')],
    ['missing', (text: string) => text.replace(/\u2014.*\n/, '')],
  ])('GHSA-jp26-88mw-89qr: the signature of a checkpoint that is %s is refused', (_, change) => {
    const bundle = changed(instance.sign(statementOf(), { rekor: 2 }), (json) => {
      for (const entry of entries(json)) {
        const checkpoint = (entry['inclusionProof'] as Json)['checkpoint'] as unknown as {
          envelope: string;
        };
        const altered = change(checkpoint.envelope);
        expect(altered).not.toBe(checkpoint.envelope);
        checkpoint.envelope = altered;
      }
    });
    expect(['signature-mismatch', 'content-invalid']).toContain(outcome(bundle));
  });
});

describe('gitsign', () => {
  it('GHSA-xvrc-2wvh-49vc: the key of a log is that of the trusted root, whatever the log says', () => {
    const rogue = new SigstoreInstance();
    const bundle = changed(instance.sign(statementOf(), { rekor: 2 }), (json) => {
      const forged = JSON.parse(String(Buffer.from(rogue.sign(statementOf(), { rekor: 2 })))) as Json;
      material(json)['tlogEntries'] = entries(forged) as unknown as Json;
    });
    expect(outcome(bundle)).toBe('signature-mismatch');
  });
});

describe('sigstore-ruby', () => {
  it('CVE-2026-31830: a statement about another artifact is refused, however well it is signed', () => {
    expect(outcome(instance.sign(statementOf('0'.repeat(64))))).toBe('signature-mismatch');
  });
});

describe('timestamp-authority', () => {
  it('GHSA-xm5m-wgh2-rrg3: a stamp is verified with the certificate that it names, and by no other', () => {
    const mallory = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const bundle = changed(instance.sign(statementOf(), { rekor: 2 }), (json) => {
      const [only] = (json['dsseEnvelope'] as Json)['signatures'] as unknown as { sig: string }[];
      const signature = fromBase64(only?.sig ?? '') ?? new Uint8Array();
      const forged = timeStampResponse(
        signature,
        new Date('2026-06-01T12:00:00Z'),
        mallory.privateKey,
        instance.tsaCertificate,
      );
      const stamps = [{ signedTimestamp: base64(forged) }] as unknown as Json;
      material(json)['timestampVerificationData'] = { rfc3161Timestamps: stamps };
    });
    expect(publicKeyOf(mallory.publicKey).type).toBe('P-256');
    expect(outcome(bundle)).toBe('signature-mismatch');
  });
});
