import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import type { ManifestContent } from '../../src/oci/manifest.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { type FaultyRegistry, startRegistry } from '../support/registry/server.ts';
import { changeHead, setting } from '../support/trust/changing.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { type Served, served } from '../support/trust/served.ts';
import { NOW, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

const BELIEVE = ['--root-key-id', poolKey(ROOT).key.keyid];

/** Requests for any host are answered by one registry. */
async function proxyTo(registry: FaultyRegistry): Promise<string> {
  const server = createServer((incoming, outgoing) => {
    const { pathname, search } = new URL(incoming.url ?? '');
    const { method, headers } = incoming;
    const forwarded = request(`${registry.origin}${pathname}${search}`, { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

let registry: FaultyRegistry;
let place: Served;
let signed: ManifestContent;
let old: ManifestContent;

/** A collection that names the newer of two images, and a tag that was moved back to the older, which has a signature by a key. */
async function movedBack(name: (host: string) => string): Promise<readonly string[]> {
  const pem = join(place.home, 'release.pub');
  await writeFile(pem, publicKeyPem(publicKeyOf(poolKey(8).privateKey)));
  await pushHead(place.target, await newCollection(name(registry.host)));
  old = await pushImage(place.target, 'old', 'v1');
  const signer = createSigner(poolKey(8).privateKey, algorithm('ES256'));
  await signImage(place.target, { tag: tagOf('v1') }, { name: 'app', signer, now: NOW, agent: 'bulla/test' });
  signed = await pushImage(place.target, 'new', 'v1');
  const { digest, size } = signed.descriptor;
  const set = new Map([['v1', { length: size, sha256: digest.slice(7) }]]);
  await changeHead(place.target, (edit) => edit.apply('names', [{ ...setting([]), set }]));
  await place.target.pushManifest(old, { tag: tagOf('v1') });
  return ['--key', pem];
}

beforeEach(async () => {
  registry = await startRegistry();
  onTestFinished(() => registry.close());
  place = await served(registry);
});

/** What anybody may make of a host's name without another host being meant. */
const NAMES = [
  'r.example',
  'R.Example',
  'r.example:80',
  'r.example:443',
  'R.EXAMPLE:443',
  'docker://r.example',
  'docker://r.example:80',
];
const REFUSED_NAMES = [
  'r.example.',
  'r.example:080',
  'r.example:00443',
  'r%2eexample',
  'http://r.example',
  'r.example:',
];

describe.each(['pinned by a prefix', 'seen'])(
  'an image that was moved back, in a repository that was %s',
  (how) => {
    it.each(
      NAMES.flatMap((pinned) => NAMES.map((asked) => [pinned, asked] as const)).filter(
        ([a, b]) => a !== b && (a === 'r.example' || b === 'r.example'),
      ),
    )('as %s, does not verify as %s', async (pinned, asked) => {
      const env = { HTTP_PROXY: await proxyTo(registry) };
      const key = await movedBack(() => 'r.example/team/app');
      const first =
        how === 'seen'
          ? ['verify', `${pinned}/team/app:v1`, ...BELIEVE, '--plain-http']
          : ['pin', `${pinned}/*`, ...BELIEVE];
      expect(await place.run(first, { env })).toMatchObject({ code: 0 });
      const result = await place.run(['verify', `${asked}/team/app:v1`, ...key, '--plain-http'], { env });
      // The name is signed for another image, which nobody has signed by this key.
      expect([result.code, result.stdout]).toEqual([10, '']);
      const named = await place.run(['verify', `${asked}/team/app:v1`, '--plain-http'], { env });
      expect(named.stdout).toContain(`@${signed.descriptor.digest}\n`);
    });

    it.each(REFUSED_NAMES)('does not verify as %s', async (asked) => {
      const env = { HTTP_PROXY: await proxyTo(registry) };
      const key = await movedBack(() => 'r.example/team/app');
      const first =
        how === 'seen'
          ? ['verify', 'r.example/team/app:v1', ...BELIEVE, '--plain-http']
          : ['pin', 'r.example/*', ...BELIEVE];
      await place.run(first, { env });
      const result = await place.run(['verify', `${asked}/team/app:v1`, ...key, '--plain-http'], { env });
      expect([result.code, result.stdout]).toEqual([2, '']);
    });
  },
);

describe('an image that was moved back at an address', () => {
  const verified = [
    '127.0.0.1',
    '127.1',
    '[::ffff:127.0.0.1]',
    '[::FFFF:7F00:1]',
    '[0:0:0:0:0:ffff:7f00:0001]',
  ];
  const refused = [
    '127.0.0.01',
    '0127.0.0.1',
    '0x7f.0.0.1',
    '2130706433',
    '127.01',
    '0x7f000001',
    '[::ffff:127.0.0.01]',
  ];

  it.each(verified)('does not verify as %s', async (address) => {
    const key = await movedBack((host) => `${host}/team/app`);
    const port = registry.host.split(':')[1];
    for (const pinned of verified) {
      await place.run(['pin', `${pinned}:${port}/team/app`, ...BELIEVE]);
      const result = await place.run(['verify', `${address}:${port}/team/app:v1`, ...key]);
      expect([result.code, result.stdout]).toEqual([10, '']);
      await place.run(['pin', 'rm', `${address}:${port}/team/app`]);
    }
    expect((await place.run(['pin', 'ls'])).stdout).toBe('');
  });

  it.each(refused)('is not even asked for as %s', async (address) => {
    const key = await movedBack((host) => `${host}/team/app`);
    const port = registry.host.split(':')[1];
    await place.run(['pin', `${registry.host}/team/app`, ...BELIEVE]);
    registry.forget();
    for (const text of [`${address}:${port}`, `127.0.0.1:0${port}`]) {
      const result = await place.run(['verify', `${text}/team/app:v1`, ...key]);
      expect([result.code, result.stdout]).toEqual([2, '']);
    }
    expect(registry.log).toEqual([]);
  });
});

describe('what earlier versions remember', () => {
  const asEarlier = async (text: string, id: unknown) => {
    const places = join(place.home, 'state', 'trust', 'places');
    await rm(places, { recursive: true, force: true });
    await mkdir(places, { recursive: true });
    const file = `${createHash('sha256').update(text).digest('hex')}.json`;
    await writeFile(join(places, file), JSON.stringify({ place: text, id }));
  };

  it.each(['r.example:80/team/app', 'r.example:443/team/app'])('of %s still counts', async (earlier) => {
    const env = { HTTP_PROXY: await proxyTo(registry) };
    const key = await movedBack(() => earlier);
    const seen = await place.run(
      ['verify', 'r.example/team/app:v1', ...BELIEVE, '--plain-http', '-o', 'json'],
      { env },
    );
    expect(seen.code).toBe(0);
    const { id } = (seen.json()['name'] as { collection: { id: string } }).collection;
    for (const asked of ['r.example', 'r.example:80', 'r.example:443']) {
      await asEarlier(earlier, id);
      const result = await place.run(['verify', `${asked}/team/app:v1`, ...key, '--plain-http'], { env });
      expect([result.code, result.stdout]).toEqual([10, '']);
    }
  });

  it('in pins by another spelling still counts, and two for one place are refused', async () => {
    const env = { HTTP_PROXY: await proxyTo(registry) };
    const key = await movedBack(() => 'r.example/team/app');
    const [, keyId] = BELIEVE;
    const pins = (...scopes: string[]) =>
      writeFile(
        join(place.home, 'pins.json'),
        JSON.stringify({ version: 1, pins: scopes.map((scope) => ({ scope, keyIds: [keyId] })) }),
      );
    const verify = () => place.run(['verify', 'r.example/team/app:v1', ...key, '--plain-http'], { env });
    for (const scope of ['r.example:80/team/app', 'r.example:443/*', 'r.example:443/team/*']) {
      await pins(scope);
      expect((await verify()).code).toBe(10);
    }
    await pins('r.example/team/app', 'r.example:443/team/app');
    expect(await verify()).toMatchObject({ code: 2, stderr: expect.stringContaining('one place') });
    await pins('r.example:443/team/app', 'other.example/x');
    await place.run(['pin', 'R.example/team/app', ...BELIEVE]);
    const kept = JSON.parse(await readFile(join(place.home, 'pins.json'), 'utf8')) as {
      pins: { scope: string }[];
    };
    expect(kept.pins.map(({ scope }) => scope)).toEqual(['other.example/x', 'r.example/team/app']);
  });
});

it('a layout is one place by every path that leads to it', async () => {
  const key = await movedBack((host) => `${host}/team/app`);
  const layout = join(place.home, 'layout');
  expect(await place.run(['copy', `${place.name}:v1`, `oci:${layout}:v1`])).toMatchObject({ code: 0 });
  await symlink(layout, join(place.home, 'link'));
  await place.run(['verify', `oci:${layout}:v1`, ...BELIEVE, '--collection', place.name]);
  for (const path of [
    layout,
    `${layout}/`,
    `${place.home}/./layout`,
    `${place.home}//layout`,
    join(place.home, 'link'),
  ]) {
    const result = await place.run(['verify', `oci:${path}:v1`, ...key, '--no-drift']);
    // A collection was seen there, which is a copy: its name has to be given. By the key alone it would do.
    expect([path, result.code, result.stdout]).toEqual([path, 22, '']);
  }
});

it('credentials are still of an exact host and port, in whatever letters', async () => {
  const users = { me: 'secret' };
  registry.behaviour.auth = { mode: 'basic', users };
  const auth = `{"auths":{"HOST":{"auth":"${Buffer.from('me:secret').toString('base64')}"}}}`;
  const file = join(place.home, 'auth.json');
  const ask = async (host: string, asked = registry.host) => {
    await writeFile(file, auth.replace('HOST', host));
    return await place.run(['ls', `${asked}/team/app`, '--registry-config', file]);
  };
  const port = registry.host.split(':')[1];
  expect((await ask(registry.host)).code).not.toBe(4);
  expect((await ask(registry.host, `[::ffff:127.0.0.1]:${port}`)).code).not.toBe(4);
  expect((await ask(`[::FFFF:127.0.0.1]:${port}`)).code).not.toBe(4);
  expect((await ask('127.0.0.1')).code).toBe(4);
  expect((await ask('127.0.0.1:443')).code).toBe(4);
});
