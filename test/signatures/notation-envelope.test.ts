import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EnvelopeRequest, Signer } from '../../src/crypto/signer.ts';
import { base64, base64url, utf8 } from '../../src/encoding/bytes.ts';
import { canonicalRfc8785 } from '../../src/encoding/canonical.ts';
import { openKey } from '../../src/keystore/key-of.ts';
import { Keystore } from '../../src/keystore/store.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { buildNotationCose } from '../../src/signatures/notation-cose.ts';
import { askForEnvelope } from '../../src/signatures/notation-envelope.ts';
import { buildNotationJws } from '../../src/signatures/notation-jws.ts';
import type { NotationParts } from '../../src/signatures/notation-payload.ts';
import { certifiedChain, certify, DURING } from '../support/certificates.ts';
import { temporaryDirectory } from '../support/cli.ts';

const image = {
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: parseDigest(`sha256:${'a'.repeat(64)}`),
  size: 7,
};
const parts: NotationParts = {
  ...{ image, annotations: new Map([['build', '7']]), signingTime: DURING, expiry: undefined },
  agent: 'a plug-in',
};
const later = (ms: number): Date => new Date(DURING.getTime() + ms);
const { leaf, chain } = await certifiedChain();
const own = leaf.signer;

type Made = Record<'payload' | 'protected' | 'signature', string> & { header: Record<string, unknown> };

/** Signs again what a plug-in has altered, so that only the alteration is wrong. */
async function resigned(made: Made, header: object, payload?: object): Promise<Made> {
  const before = JSON.parse(Buffer.from(made.protected, 'base64url').toString('utf8'));
  const next = base64url(canonicalRfc8785({ ...before, ...header }));
  const body = payload === undefined ? made.payload : base64url(canonicalRfc8785(payload as never));
  return {
    ...made,
    ...{ protected: next, payload: body, signature: base64url(await own.sign(utf8(`${next}.${body}`))) },
  };
}

/** A key that makes whole envelopes, and alters them. */
function plugin(
  alter: (made: Made) => Promise<unknown> | unknown = (made) => made,
  of: Partial<NotationParts> = {},
): Signer {
  return {
    ...own,
    certificates: chain,
    signEnvelope: async () => {
      const made = JSON.parse(
        Buffer.from(await buildNotationJws({ ...parts, ...of }, own, chain)).toString(),
      );
      return utf8(JSON.stringify(await alter(made)));
    },
  };
}

describe('an envelope that a plug-in made', () => {
  it('is taken where it is what was asked for, as JWS and as COSE, with an expiry and without', async () => {
    const asked: EnvelopeRequest[] = [];
    const expiry = later(86_400_000);
    for (const more of [{}, { expiry }])
      for (const kind of ['notation-jws', 'notation-cose'] as const) {
        const build = kind === 'notation-jws' ? buildNotationJws : buildNotationCose;
        const made = await build({ ...parts, ...more }, own, chain);
        const signer: Signer = {
          ...own,
          signEnvelope: async (request) => {
            asked.push(request);
            return made;
          },
        };
        expect(await askForEnvelope({ ...parts, ...more }, signer, chain, kind, {})).toBe(made);
      }
    expect(asked.map(({ type, lifetime }) => [type, lifetime])).toEqual([
      ['application/jose+json', undefined],
      ['application/cose', undefined],
      ['application/jose+json', 86_400],
      ['application/cose', 86_400],
    ]);
  });

  const other = { ...image, digest: `sha256:${'b'.repeat(64)}` };
  const target = (more: object) => ({ targetArtifact: { ...image, annotations: { build: '7' }, ...more } });
  it.each<[string, Signer, string]>([
    ['garbage', { ...own, signEnvelope: async () => utf8('garbage') }, 'content-invalid'],
    ['nothing', { ...own, signEnvelope: async () => new Uint8Array() }, 'content-invalid'],
    [
      'more than an envelope may have',
      { ...own, signEnvelope: async () => new Uint8Array(5_000_000) },
      'key-invalid',
    ],
    ['another digest', plugin((made) => resigned(made, {}, target(other))), 'key-invalid'],
    [
      'one more annotation',
      plugin((made) => resigned(made, {}, target({ annotations: { build: '7', free: 'yes' } }))),
      'key-invalid',
    ],
    ['no annotation', plugin((made) => resigned(made, {}, { targetArtifact: image })), 'key-invalid'],
    ['another payload type', plugin((made) => resigned(made, { cty: 'text/plain' })), 'content-invalid'],
    [
      'a signature of another key',
      plugin((made) => ({ ...made, signature: base64url(new Uint8Array(64)) })),
      'key-invalid',
    ],
    [
      'the scheme of signing authorities',
      plugin((made) => resigned(made, { 'io.cncf.notary.signingScheme': 'notary.x509.signingAuthority' })),
      'unsupported-signature',
    ],
    [
      'a critical header that readers need a plug-in for',
      plugin((made) =>
        resigned(made, {
          crit: ['io.cncf.notary.signingScheme', 'io.cncf.notary.verificationPlugin'],
          'io.cncf.notary.verificationPlugin': 'theirs',
        }),
      ),
      'unsupported-signature',
    ],
    [
      'an unsigned expiry',
      plugin((made) => ({
        ...made,
        header: { ...made.header, 'io.cncf.notary.expiry': '2026-07-02T00:00:00Z' },
      })),
      'content-invalid',
    ],
    ['the algorithm none', plugin((made) => resigned(made, { alg: 'none' })), 'unsupported-signature'],
    ['an algorithm of another key', plugin((made) => resigned(made, { alg: 'PS256' })), 'key-invalid'],
    ['an expiry that was not asked for', plugin((made) => made, { expiry: later(60_000) }), 'key-invalid'],
    ['a time of last year', plugin((made) => made, { signingTime: later(-31_536_000_000) }), 'key-invalid'],
    [
      'no certificates',
      plugin((made) => ({ ...made, header: { ...made.header, x5c: [] } })),
      'content-invalid',
    ],
    [
      'a part of its certificates',
      plugin((made) => ({ ...made, header: { ...made.header, x5c: [base64(leaf.certificate.der)] } })),
      'key-invalid',
    ],
  ])('is refused with %s', async (_, signer, code) => {
    await expect(askForEnvelope(parts, signer, chain, 'notation-jws', {})).rejects.toMatchObject({ code });
  });

  it('is refused without the expiry that was asked for', async () => {
    const asked = { ...parts, expiry: later(86_400_000) };
    await expect(askForEnvelope(asked, plugin(), chain, 'notation-jws', {})).rejects.toMatchObject({
      code: 'key-invalid',
    });
  });

  it('is refused under the certificates of another key', async () => {
    const stranger = await certify('CN=stranger');
    await expect(
      askForEnvelope(parts, plugin(), [stranger.certificate], 'notation-jws', {}),
    ).rejects.toMatchObject({ code: 'key-invalid' });
  });
});

describe('a plug-in that makes whole envelopes', () => {
  /** A program that answers by the contract what files say. */
  async function installed(script: string): Promise<Parameters<typeof openKey>[1]> {
    const home = await temporaryDirectory();
    const directory = join(home, 'notation/plugins/whole');
    await mkdir(directory, { recursive: true });
    const path = join(directory, 'notation-whole');
    const answer = {
      signatureEnvelope: base64(await buildNotationJws(parts, own, chain)),
      signatureEnvelopeType: 'application/jose+json',
      annotations: { 'io.example.unsigned': 'ignored' },
    };
    await writeFile(join(home, 'answer'), JSON.stringify(answer));
    const metadata = JSON.stringify({ capabilities: ['SIGNATURE_GENERATOR.ENVELOPE'] });
    await writeFile(
      path,
      `#!/bin/sh
request=$(cat)
case "$1" in
  get-plugin-metadata) echo '${metadata}';;
  generate-envelope)
    case "$request" in
      *eyJidWxsYSI6*) cat '${home}/answer';;
      *) ${script.replaceAll('ANSWER', `'${home}/answer'`)};;
    esac;;
  *) exit 3;;
esac
`,
    );
    await chmod(path, 0o755);
    return {
      keystore: new Keystore(join(home, 'keys')),
      environment: (name) => (name === 'XDG_CONFIG_HOME' ? home : undefined),
      variables: { PATH: process.env['PATH'], XDG_CONFIG_HOME: home, BULLA_PKCS11_PIN: '583104' },
      passphrase: async () => utf8(''),
      cwd: home,
    };
  }

  it('signs images, also by a name of the key store, and never a message', async () => {
    const sources = await installed('test -z "$BULLA_PKCS11_PIN" && cat ANSWER');
    const signer = await openKey('notation-plugin:whole/some%20key', sources);
    expect(signer.certificates.map(({ thumbprint }) => thumbprint)).toEqual(
      chain.map(({ thumbprint }) => thumbprint),
    );
    await expect(askForEnvelope(parts, signer, chain, 'notation-jws', {})).resolves.toBeInstanceOf(
      Uint8Array,
    );
    await expect(signer.sign(utf8('a role'))).rejects.toMatchObject({ code: 'key-invalid' });
    await sources.keystore.putKept('named', signer.publicKey, {
      uri: 'notation-plugin:whole/some%20key',
      algorithms: [signer.algorithm.id],
    });
    const named = await openKey('named', sources);
    await expect(askForEnvelope(parts, named, chain, 'notation-jws', {})).resolves.toBeInstanceOf(Uint8Array);
    await expect(named.signMany([utf8('a role')])).rejects.toMatchObject({ code: 'key-invalid' });
  });

  it.each<[string, string, string]>([
    [
      'fails with a reason',
      `echo '{"errorCode":"ACCESS_DENIED","errorMessage":"no"}' >&2; exit 1`,
      'forbidden',
    ],
    [
      'is throttled',
      `echo '{"errorCode":"THROTTLED","errorMessage":"slow down"}' >&2; exit 1`,
      'key-unavailable',
    ],
    [
      'is late by its own account',
      `echo '{"errorCode":"TIMEOUT","errorMessage":"late"}' >&2; exit 1`,
      'timeout',
    ],
    [
      'says its secret',
      `echo 'password=hunter2hunter2 token: s.0123456789abcdef' >&2; exit 4`,
      'key-unavailable',
    ],
    ['answers no JSON', 'echo nothing', 'key-unavailable'],
    [
      'answers without an envelope',
      `echo '{"signatureEnvelopeType":"application/jose+json"}'`,
      'key-unavailable',
    ],
    ['makes another type', `sed s,jose+json,cose, ANSWER`, 'key-unavailable'],
    ['answers without an end', 'yes', 'key-unavailable'],
  ])('and %s', async (_, script, code) => {
    const signer = await openKey('notation-plugin:whole/k', await installed(script));
    const error = await askForEnvelope(parts, signer, chain, 'notation-jws', {}).catch((e: unknown) => e);
    expect(error).toMatchObject({ code });
    expect(JSON.stringify([(error as Error).message, (error as { hint?: string }).hint])).not.toMatch(
      /hunter2|s\.0123/,
    );
  });

  it('and hangs: the end of the command ends it', async () => {
    const signer = await openKey('notation-plugin:whole/k', await installed('sleep 60'));
    const ending = new AbortController();
    setTimeout(() => ending.abort(), 50);
    const { signal } = ending;
    await expect(askForEnvelope(parts, signer, chain, 'notation-jws', { signal })).rejects.toMatchObject({
      code: 'interrupted',
    });
  });
});
