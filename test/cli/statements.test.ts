import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode as decodeCbor, encode as encodeCbor } from 'cborg';
import { describe, expect, it, vi } from 'vitest';
import { parseCertificate } from '../../src/crypto/certificate.ts';
import type { Signer } from '../../src/crypto/signer.ts';
import { base64, base64url, concatBytes, equalBytes, utf8 } from '../../src/encoding/bytes.ts';
import { describe as describeBytes } from '../../src/oci/descriptor.ts';
import { readLegacySignature } from '../../src/signatures/cosign-legacy.ts';
import { SIGNATURE_ANNOTATIONS, SIGNATURE_TYPES } from '../../src/signatures/formats.ts';
import { readNotationCose } from '../../src/signatures/notation-cose.ts';
import { readNotationJws } from '../../src/signatures/notation-jws.ts';
import { readBundle } from '../../src/signatures/sigstore-bundle.ts';
import { preAuthEncoding } from '../../src/sigstore/dsse.ts';
import { parseMetadataFile } from '../../src/tuf/metadata-file.ts';
import { parseRoot } from '../../src/tuf/root.ts';
import { parseSnapshot, parseTimestamp } from '../../src/tuf/snapshot.ts';
import { parseTargets } from '../../src/tuf/targets.ts';
import { pushImage } from '../support/content.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';
import { People } from '../support/trust/people.ts';

/** Everything that any key signs while these tests run. */
const SIGNED: { readonly by: string; readonly message: Uint8Array }[] = [];
let operation = 'none';

vi.mock('../../src/crypto/signer.ts', async (original) => {
  const real = await original<typeof import('../../src/crypto/signer.ts')>();
  const createSigner: typeof real.createSigner = (...options) => {
    const signer = real.createSigner(...options);
    const sign: Signer['sign'] = (message) => {
      SIGNED.push({ by: operation, message });
      return signer.sign(message);
    };
    return { ...signer, sign };
  };
  return { ...real, createSigner };
});

const where = 'a message';
const zeros = new Uint8Array(64);
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');

/**
 * Puts a message into an envelope of a kind, as whoever wants it to be one would; throws where it can be none.
 * @param chain DER of a certificate, which no reader believes before the signature was verified
 */
function readers(chain: Uint8Array): Readonly<Record<string, (message: Uint8Array) => unknown>> {
  const tuf =
    (role: string, read: (file: ReturnType<typeof parseMetadataFile>) => unknown) =>
    (message: Uint8Array) => {
      // TUF signs line feeds in PEM as they are; a file holds them escaped.
      const signed = text(message).replaceAll('\n', '\\n');
      const bytes = utf8(`{"signatures":[],"signed":${signed}}`);
      const file = parseMetadataFile(bytes, role, 1e7);
      if (!equalBytes(file.message, message)) throw new Error('another message');
      return read(file);
    };
  return {
    root: tuf('root', parseRoot),
    targets: tuf('names', parseTargets),
    snapshot: tuf('snapshot', parseSnapshot),
    timestamp: tuf('timestamp', parseTimestamp),
    'cosign .sig': (message) => {
      const annotations = { [SIGNATURE_ANNOTATIONS.legacySignature]: base64(zeros) };
      const layer = describeBytes(SIGNATURE_TYPES.simpleSigning, message, { annotations });
      return readLegacySignature(layer, message, where).claims();
    },
    'in-toto in DSSE': (message) => {
      const [, type = '', size = ''] = /^DSSEv1 \d+ (\S+) (\d+) /.exec(text(message)) ?? [];
      const payload = message.slice(message.byteLength - Number(size));
      if (type === '' || !equalBytes(preAuthEncoding(type, payload), message)) throw new Error('not DSSE');
      const envelope = {
        mediaType: SIGNATURE_TYPES.bundle,
        verificationMaterial: { publicKey: { hint: '' } },
        dsseEnvelope: { payloadType: type, payload: base64(payload), signatures: [{ sig: base64(zeros) }] },
      };
      return readBundle(utf8(JSON.stringify(envelope)), where).claims();
    },
    'Notation in JWS': (message) => {
      const [, header, payload] = /^([\w-]+)\.([\w-]+)$/.exec(text(message)) ?? [];
      if (header === undefined) throw new Error('not JWS');
      const envelope = {
        payload,
        protected: header,
        header: { x5c: [base64(chain)] },
        signature: base64url(zeros),
      };
      return readNotationJws(utf8(JSON.stringify(envelope)), where).claims();
    },
    'Notation in COSE': (message) => {
      const parts = decodeCbor(message) as unknown;
      if (!Array.isArray(parts) || parts.length !== 4 || parts[0] !== 'Signature1')
        throw new Error('not COSE');
      const sign1 = encodeCbor([parts[1], new Map([[33, [chain]]]), parts[3], zeros]);
      return readNotationCose(concatBytes([Uint8Array.of(0xd2), sign1]), where).claims();
    },
    'X.509': (message) => {
      const rest = Buffer.from('300a06082a8648ce3d04030203020000', 'hex');
      const body = Buffer.concat([message, rest]);
      const head = Buffer.from([0x30, 0x82, body.length >> 8, body.length & 255]);
      return parseCertificate(new Uint8Array(Buffer.concat([head, body])), where);
    },
  };
}

const now = new Date('2030-01-01T00:00:00Z');

describe('what any command signs', () => {
  it('is a statement of one kind, and read as no other', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const repository = `${registry.host}/team/app`;
    const people = new People();
    const all = await people.person(now, 'root', 'publisher', 'online', 'alice');
    const pin = `--root-key-id ${people.keyids.get('root')}`;
    const run = async (person: typeof all, line: string, code = 0): Promise<void> => {
      operation = line.split(' ')[0] ?? '';
      const result = await person.run(line);
      expect(result, `${line}: ${result.stderr}`).toMatchObject({ code });
    };
    await run(all, `init ${repository}`);
    for (const tag of ['v1', 'v2', 'v3']) await pushImage(target, tag, tag);
    await run(all, `sign ${repository}:v1 --key publisher`);
    await run(all, 'key cert alice --self-signed --subject C=DE,ST=Berlin,O=Acme,CN=release');
    await run(all, `sign ${repository}:v2 --key alice --no-name`);
    await run(all, `sign ${repository}:v2 --key alice --no-name --signature-format cose`);
    await run(all, 'key csr alice --subject CN=release');
    await run(all, `signer add ${repository} alice --key alice`);
    await run(all, `sign ${repository}:v3 --name-only --signer alice --key alice`);
    await run(all, `revoke ${repository}:v1`);
    await run(all, `rotate ${repository} names --key alice --keep --threshold 2`);
    await run(
      await people.person(now, 'publisher'),
      `sign ${repository}:v3 --name-only --wait 0s ${pin}`,
      31,
    );
    const listed = await all.run(`pending ${repository} -o json`);
    const { id } = (listed.json() as { pending: { id: string }[] }).pending[0]!;
    await run(all, `approve ${repository} ${id} --yes`);
    await run(all, `rotate ${repository} root --renew --export-unsigned change.json`);
    await run(all, 'approve change.json --yes');
    await run(all, `rotate ${repository} root --import-signed change.json`);
    operation = 'resign';
    const later = new Date(now.getTime() + 10 * 86_400_000);
    expect(await all.run(`resign ${repository}`, { now: later })).toMatchObject({ code: 0 });

    const pem = readFileSync(join(all.home, 'bulla/keys/alice.crt'), 'utf8');
    const chain = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    const kinds = readers(new Uint8Array(chain));
    const seen = new Map<string, Set<string>>();
    for (const { by, message } of SIGNED) {
      const read = Object.entries(kinds).flatMap(([kind, reader]) => {
        try {
          reader(message);
          return [kind];
        } catch {
          return [];
        }
      });
      expect(
        read.length,
        `${by} signed ${text(message).slice(0, 200)}, read as ${read.join(', ')}`,
      ).toBeLessThanOrEqual(1);
      // A request for a certificate is DER like the certificate, and no reader of ours takes it.
      const kind = read[0] ?? (message[0] === 0x30 ? 'X.509' : 'nothing');
      seen.set(kind, (seen.get(kind) ?? new Set()).add(by));
    }
    expect(seen.get('nothing')).toBeUndefined();
    expect(seen.get('cosign .sig')).toBeUndefined();
    expect([...seen.keys()].sort()).toEqual([
      'Notation in COSE',
      'Notation in JWS',
      'X.509',
      'in-toto in DSSE',
      'root',
      'snapshot',
      'targets',
      'timestamp',
    ]);
    for (const by of ['init', 'sign', 'signer', 'revoke', 'rotate', 'approve', 'resign'])
      expect(
        [...seen].filter(([, who]) => who.has(by)),
        by,
      ).not.toEqual([]);
  }, 120_000);
});
