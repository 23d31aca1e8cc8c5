import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { timeStampToken } from '../../src/sigstore/time-stamp.ts';
import { bulla as bullaAt } from '../support/cli.ts';
import { tagOf } from '../support/content.ts';
import { EKU, type Issued, issue, issueChain } from '../support/issue.ts';
import { makeList, makeResponse, type ResponseOptions, statusExtensions } from '../support/revocation.ts';
import { timeStampResponse } from '../support/sigstore/time-stamp-response.ts';
import { StatusServer } from '../support/status-server.ts';
import { DEMO_LAYOUT, pushDemoImage } from './artifacts.ts';
import { bulla, havePeers, type Outcome, ok, peer, run } from './peers.ts';
import { HAS_REFERRERS_API, type Registry, type RegistryKind, startRegistry } from './registries.ts';
import { Signers } from './signers.ts';
import { startTimeStamps, type TimeStampServer } from './time-stamps.ts';

const HOUR = 3_600_000;
const hence = (hours: number): Date => new Date(Date.now() + hours * HOUR);
const TODAY = { notBefore: hence(-24), notAfter: hence(24) };
const pem = ({ certificate }: Issued): string => certificate.x509.toString();
const KINDS: readonly RegistryKind[] = ['docker-registry', 'olareg', 'embedded'];
const PLACES = [...KINDS, 'layout'] as const;

/** What only certificates have: time stamps and revocation, between bulla and stock notation. */
describe.runIf(havePeers('docker-registry', 'olareg', 'oras', 'notation', 'cosign'))('certificates', () => {
  let signers: Signers;
  let stamps: TimeStampServer;
  let status: StatusServer;
  const registries = new Map<RegistryKind, Registry>();
  /** Of time stamps: root, authority between, the one that stamps. */
  const tsaRoot = issue({ ...TODAY, subject: { CN: 'TSA root' }, ca: true, usages: [5] });
  const tsaCa = issue({
    ...TODAY,
    subject: { CN: 'TSA CA' },
    issuer: tsaRoot,
    ca: true,
    usages: [5],
    pathLength: 0,
  });
  const tsa = issue({
    ...{ ...TODAY, subject: { CN: 'TSA' }, issuer: tsaCa, usages: [0], constraints: null },
    // For time stamping alone, and critical.
    more: [['2.5.29.37', Buffer.from('300a06082b06010505070308', 'hex'), true]],
  });
  let count = 0;

  beforeAll(async () => {
    [signers, status] = await Promise.all([Signers.create(), StatusServer.start()]);
    for (const kind of KINDS) registries.set(kind, await startRegistry(kind));
    mkdirSync(file('tsa'));
    stamps = await startTimeStamps(file('tsa'), tsa.privateKey, [pem(tsa), pem(tsaCa)]);
    writeFileSync(file('tsa-root.crt'), pem(tsaRoot));
    const store = ['cert', 'add', '--type', 'tsa', '--store', 'tsa', file('tsa-root.crt')];
    await ok(peer('notation'), store, { env: signers.env });
  });
  afterAll(async () => {
    for (const registry of registries.values()) await registry.stop();
    await Promise.all([stamps?.stop(), status?.stop()]);
    signers?.remove();
  });

  const file = (name: string): string => join(signers.directory, name);
  const our = (...args: string[]): Promise<Outcome> => bulla(args, { env: signers.env });
  const notation = (...args: string[]): Promise<Outcome> =>
    run(peer('notation'), args, { env: { ...signers.env, NOTATION_EXPERIMENTAL: '1' } });

  /** Has notation trust some authorities, and demand time stamps where these are trusted as well. */
  async function trust(roots: readonly string[], isStamped: boolean): Promise<void> {
    const stores = [];
    for (const path of roots) {
      const store = `root-${++count}`;
      await ok(peer('notation'), ['cert', 'add', '--type', 'ca', '--store', store, path], {
        env: signers.env,
      });
      stores.push(`ca:${store}`);
    }
    const rule = {
      ...{ name: 'test', registryScopes: ['*'], trustedIdentities: ['*'] },
      signatureVerification: { level: 'strict' },
      trustStores: [...stores, ...(isStamped ? ['tsa:tsa'] : [])],
    };
    const policy = JSON.stringify({ version: '1.0', trustPolicies: [rule] });
    writeFileSync(file('config/notation/trustpolicy.json'), policy);
  }

  /** A new image in a place, as each tool names it. */
  async function image(
    place: (typeof PLACES)[number],
  ): Promise<{ name: string; theirs: string[]; scope: string[] }> {
    if (place !== 'layout') {
      const name = `${registries.get(place)?.host}/certificates-${++count}:v1`;
      await pushDemoImage(name, signers);
      return { name, theirs: ['--insecure-registry', name], scope: [] };
    }
    const directory = file(`layout-${++count}`);
    cpSync(DEMO_LAYOUT, directory, { recursive: true });
    const { manifests } = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8'));
    const scope = ['--scope', 'example.com/app'];
    return {
      name: `oci:${directory}:v1`,
      theirs: ['--oci-layout', `${directory}@${manifests[0].digest}`],
      scope,
    };
  }

  /** A key with certificates for bulla, whose root is in root.crt. */
  function certified(leaf: Parameters<typeof issueChain>[0] = {}): ReturnType<typeof issueChain> {
    const made = issueChain({ ...TODAY, ...leaf }, { ...TODAY, usages: [5, 6] });
    const key = made.leaf.privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(file('our.key'), key, { mode: 0o600 });
    writeFileSync(file('chain.crt'), made.chain.map(({ x509 }) => x509.toString()).join(''));
    writeFileSync(file('root.crt'), pem(made.root));
    return made;
  }

  const withKey = (): string[] => ['--key', file('our.key'), '--cert-chain', file('chain.crt'), '--no-name'];
  const byAuthority = (path: string): string[] => ['--ca', path, '--certificate-identity', '*', '--no-name'];

  describe.each(PLACES)('in %s', (place) => {
    describe.each(['jws', 'cose'])('as %s', (format) => {
      it.each([false, true])('are read by the other tool; with a time stamp: %s', async (isStamped) => {
        certified();
        await trust([file('root.crt'), signers.notationCertificate], isStamped);
        const authority = isStamped ? ['--timestamp-authority', file('tsa-root.crt')] : [];
        const ours = await image(place);
        const url = isStamped ? ['--timestamp-url', stamps.url, ...authority] : [];
        expect(
          await our('sign', ours.name, ...withKey(), '--signature-format', format, ...url),
        ).toMatchObject({
          status: 0,
        });
        const read = await notation('verify', ...ours.scope, ...ours.theirs);
        expect(read.status, read.stderr).toBe(0);

        const theirs = await image(place);
        const api = place === 'layout' || !HAS_REFERRERS_API[place] ? [] : ['--force-referrers-tag=false'];
        const stamp = isStamped
          ? ['--timestamp-url', stamps.url, '--timestamp-root-cert', file('tsa-root.crt')]
          : [];
        const signed = await notation(
          'sign',
          '--signature-format',
          format,
          ...api,
          ...stamp,
          ...theirs.theirs,
        );
        expect(signed.status, signed.stderr).toBe(0);
        const trusted = [...byAuthority(signers.notationCertificate), ...authority];
        expect(await our('verify', theirs.name, ...trusted)).toMatchObject({ status: 0 });
        if (!isStamped) return;
        // In two days, its certificate has expired.
        const later = { now: hence(48), env: signers.env };
        expect(await bullaAt(['verify', theirs.name, ...trusted], later)).toMatchObject({ code: 0 });
        const unstamped = ['verify', theirs.name, ...byAuthority(signers.notationCertificate)];
        expect(await bullaAt(unstamped, later)).toMatchObject({ code: 13 });
      });
    });
  });

  it.each(['jws', 'cose'] as const)(
    'that have expired count by a time stamp alone, as %s',
    async (envelope) => {
      const then = hence(-20);
      const { leaf, chain } = certified({ notAfter: hence(-10) });
      for (const isStamped of [true, false]) {
        const { name, theirs } = await image('docker-registry');
        const target = openRepository(parseReference(name) as RegistryReference);
        const stamp = async (signature: Uint8Array): Promise<Uint8Array> => {
          const included = [tsa, tsaCa].map(({ certificate }) => certificate.der);
          const answer = timeStampResponse(signature, then, tsa.privateKey, tsa.certificate.der, included);
          return timeStampToken(answer, 'our own');
        };
        await signImage(
          target,
          { tag: tagOf('v1') },
          {
            ...{ name, signer: leaf.signer, chain, envelope, now: then, agent: 'bulla/test' },
            ...(isStamped && { stamp }),
          },
        );
        await target.close();
        await trust([file('root.crt')], isStamped);
        const read = await notation('verify', ...theirs);
        expect(read.status, read.stderr).toBe(isStamped ? 0 : 1);
        const trusted = [...byAuthority(file('root.crt')), '--timestamp-authority', file('tsa-root.crt')];
        expect(await our('verify', name, ...trusted)).toMatchObject({ status: isStamped ? 0 : 13 });
      }
    },
  );

  /** What the responder and the list answer, and how stock notation and bulla end. */
  const statuses: readonly (readonly [
    string,
    Pick<ResponseOptions, 'status'> | 'delegated' | undefined,
    'good' | 'listed' | undefined,
    number,
    number,
  ])[] = [
    ['good by OCSP', {}, undefined, 0, 0],
    ['good by a responder of its own', 'delegated', undefined, 0, 0],
    ['revoked by OCSP', { status: { revokedAt: hence(-1) } }, 'good', 1, 13],
    ['unknown to OCSP, good by CRL', { status: 'unknown' }, 'good', 0, 0],
    ['unknown to OCSP', { status: 'unknown' }, undefined, 1, 13],
    ['without a responder, good by CRL', undefined, 'good', 0, 0],
    ['without a responder, revoked by CRL', undefined, 'listed', 1, 13],
    ['without any answer', undefined, undefined, 1, 3],
  ];
  it.each(statuses)('are %s', async (_, response, list, theirs, ours) => {
    const at = `/${++count}`;
    const where = { ocsp: [`${status.url}${at}/ocsp`], crls: [[`${status.url}${at}/crl`]] };
    const { leaf, root } = certified({ more: statusExtensions(where), extended: [EKU.codeSigning] });
    const times = { thisUpdate: hence(-1), nextUpdate: hence(1) };
    const responder = issue({
      ...{ ...TODAY, subject: { CN: 'OCSP' }, issuer: root, usages: [0], extended: [EKU.ocspSigning] },
      more: [['1.3.6.1.5.5.7.48.1.5', Buffer.of(5, 0)]],
    });
    const by = response === 'delegated' ? responder : root;
    const said = response === 'delegated' ? {} : response;
    const about = leaf.certificate;
    status.answers.set(
      `${at}/ocsp`,
      said === undefined ? 'reset' : makeResponse({ ...times, about, issuer: root, by, ...said }),
    );
    const entries = list === 'listed' ? [{ certificate: about, at: hence(-1) }] : [];
    // Go wants every list to have a number and the identifier of its key.
    const extensions = [['2.5.29.20', Buffer.of(2, 1, 1)]] as const;
    status.answers.set(
      `${at}/crl`,
      list === undefined ? { status: 404 } : makeList({ ...times, by: root, entries, extensions }),
    );
    const { name, theirs: place } = await image('docker-registry');
    expect(await our('sign', name, ...withKey())).toMatchObject({ status: 0 });
    await trust([file('root.crt')], false);
    const read = await notation('verify', ...place);
    expect(read.status, read.stderr).toBe(theirs);
    const revocation = { mode: 'enforce', privateHosts: ['127.0.0.1'] };
    const policy = {
      version: 1,
      rules: [{ scope: '*', signatures: [{ authorities: ['root.crt'], revocation }] }],
    };
    writeFileSync(file('policy.yaml'), JSON.stringify(policy));
    const verified = await our('verify', name, '--policy', file('policy.yaml'));
    expect(verified.status, verified.stderr).toBe(ours);
  });
});
