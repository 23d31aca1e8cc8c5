import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseCertificate } from '../../src/crypto/certificate.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { judge } from '../../src/policy/judgement.ts';
import { type Requirements, requirements } from '../../src/policy/requirements.ts';
import type { Envelope } from '../../src/signatures/envelope.ts';
import type { Evidence } from '../../src/signatures/evidence.ts';
import { readNotationCose } from '../../src/signatures/notation-cose.ts';
import { readNotationJws } from '../../src/signatures/notation-jws.ts';
import { parseTimeStampToken } from '../../src/sigstore/time-stamp.ts';

/** Signatures that notation made, with tokens of GlobalSign (testdata/signatures/README.md). */
const file = async (name: string): Promise<Buffer> =>
  await readFile(new URL(`../../testdata/signatures/notation-timestamp/${name}`, import.meta.url));
const read = async (name: string): Promise<Envelope> => {
  const bytes = await file(`${name}.sig`);
  return bytes[0] === 0x7b ? readNotationJws(bytes, name) : readNotationCose(bytes, name);
};

const MANIFEST = parseDigest(`sha256:${'0'.repeat(64)}`);
const LATER = new Date('2300-01-01T00:00:00Z');

/** Evidence of an envelope whose own signature is not what these tests are about. */
function evidenceOf(envelope: Envelope, token: Uint8Array | undefined = envelope.timeStampToken): Evidence {
  const { kind, certificates, signature } = envelope;
  const { purpose, signingTime } = envelope.claims();
  const key = certificates[0]?.publicKey;
  if (key === undefined) throw new Error('it has no certificate');
  return {
    ...{ kind, manifest: MANIFEST, key, certificates, purpose, annotations: new Map() },
    ...(signingTime !== undefined && { signingTime }),
    ...(token !== undefined && { timeStamp: { token, stamped: signature } }),
  };
}

/** Its own root is trusted, whatever it is; that of the authority as well, unless left out. */
async function demanding(now: Date, { certificates }: Envelope, isStamped = true): Promise<Requirements> {
  const timestampAuthorities = isStamped ? [parseCertificate(await file('globalsignRoot.cer'), 'tsa')] : [];
  return requirements({ roots: certificates.slice(-1), timestampAuthorities, now });
}

describe.each([
  'jwsExpiredWithTimestamp',
  'coseExpiredWithTimestamp',
  'jwsWithTimestamp',
  'coseWithTimestamp',
])('%s', (name) => {
  it('counts after its certificate has expired, by the word of a trusted authority alone', async () => {
    const envelope = await read(name);
    const evidence = evidenceOf(envelope);
    expect(judge(evidence, await demanding(LATER, envelope))).toBeUndefined();
    expect(judge(evidence, await demanding(LATER, envelope, false))).toMatchObject({
      code: 'certificate-expired',
    });
  });

  it('does not count where a byte of what the authority signed is another one', async () => {
    const envelope = await read(name);
    const token = envelope.timeStampToken as Uint8Array;
    const { info, signer } = parseTimeStampToken(token, name);
    const required = await demanding(LATER, envelope);
    for (let at = 0; at < token.byteLength; at += 97) {
      const altered = token.map((byte, index) => (index === at ? byte ^ 1 : byte));
      const verdict = judge(evidenceOf(envelope, altered), required);
      if (verdict !== undefined) continue;
      // What is not signed and not used may be anything.
      const read = parseTimeStampToken(altered, name);
      expect(read.info).toEqual(info);
      expect(read.signer.signature).toEqual(signer.signature);
      expect(read.signer.signedAttributes).toEqual(signer.signedAttributes);
    }
  });
});

it('refuses the token of another signature', async () => {
  const envelope = await read('jwsExpiredWithTimestamp');
  const { timeStampToken } = await read('jwsWithTimestamp');
  expect(judge(evidenceOf(envelope, timeStampToken), await demanding(LATER, envelope))).toMatchObject({
    code: 'signature-mismatch',
  });
});

it.each(['timestampAfterNotAfter', 'timestampBeforeNotBefore'])(
  'refuses %s: the certificate was not valid when it was stamped',
  async (name) => {
    const envelope = await read(name);
    expect(judge(evidenceOf(envelope), await demanding(LATER, envelope))).toMatchObject({
      code: 'certificate-expired',
    });
  },
);

it('refuses a token from the future, and an authority that is not trusted', async () => {
  const envelope = await read('jwsExpiredWithTimestamp');
  const early = await demanding(new Date('2020-01-01T00:00:00Z'), envelope);
  expect(judge(evidenceOf(envelope), early)).toMatchObject({ code: 'certificate-invalid' });
  const other = { ...(await demanding(LATER, envelope)), timestampAuthorities: envelope.certificates };
  expect(judge(evidenceOf(envelope), other)).toMatchObject({ code: 'certificate-invalid' });
});

it('is for signatures with certificates', async () => {
  const envelope = await read('jwsWithTimestamp');
  const { timestampAuthorities } = await demanding(LATER, envelope);
  const keys = envelope.certificates.slice(0, 1).map(({ publicKey }) => publicKey);
  expect(() => requirements({ keys, timestampAuthorities, now: LATER })).toThrow(
    expect.objectContaining({ code: 'usage' }),
  );
});

it('refuses a token that cannot be read where time stamps count, and ignores it elsewhere', async () => {
  const envelope = await read('jwsWithTimestamp');
  const valid = new Date((envelope.claims().signingTime?.getTime() ?? 0) + 1000);
  const evidence = evidenceOf(envelope, new Uint8Array());
  expect(judge(evidence, await demanding(valid, envelope))).toMatchObject({ code: 'content-invalid' });
  expect(judge(evidence, await demanding(valid, envelope, false))).toBeUndefined();
});

it('satisfies a policy that demands a time stamp, and is in no log', async () => {
  const envelope = await read('jwsWithTimestamp');
  const valid = new Date((envelope.claims().signingTime?.getTime() ?? 0) + 60_000);
  const root = { logs: [], certificateLogs: [], authorities: [], timestampAuthorities: [] };
  const demand = async (transparency: boolean, isStamped = true) => ({
    ...(await demanding(valid, envelope, isStamped)),
    proof: { transparency, timestamp: true, root },
  });
  expect(judge(evidenceOf(envelope), await demand(false))).toBeUndefined();
  expect(judge(evidenceOf(envelope), await demand(false, false))).toMatchObject({
    code: 'signature-mismatch',
  });
  expect(judge(evidenceOf(envelope), await demand(true))).toMatchObject({ code: 'signature-mismatch' });
});
