import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { publishNames } from '../../src/trust/publish/publish.ts';
import { type Collection, readCollection } from '../../src/trust/read/collection.ts';
import { freePort, startServer } from '../support/process.ts';
import { collectionIn, realPublisher } from '../support/resign/service.ts';
import { naming, reading } from '../support/trust/publishing.ts';
import { ONLINE, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { BULLA, bulla, havePeers } from './peers.ts';
import { type RegistryKind, startDistribution, startRegistry } from './registries.ts';

const KINDS: readonly (readonly [RegistryKind, boolean])[] = [
  ['docker-registry', havePeers('docker-registry')],
  ['registry3', havePeers('registry3')],
  ['olareg', havePeers('olareg')],
  ['embedded', true],
];
const DAY = 86_400_000;
const SECRET = 'a-secret-of-some-length';

/** A directory with the online key and a configuration for all that a registry has. */
function configured(
  host: string,
  listen: string,
  more = '',
  scope = 'team/*',
): { dir: string; config: string } {
  const dir = mkdtempSync(join(tmpdir(), 'bulla-resigner-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const key = join(dir, 'online.pem');
  writeFileSync(key, poolKey(ONLINE).privateKey.export({ type: 'pkcs8', format: 'pem' }));
  chmodSync(key, 0o600);
  writeFileSync(join(dir, 'secret'), SECRET);
  const entry = { repositories: `${host}/${scope}`, rootKeyIds: [poolKey(ROOT).key.keyid] };
  const config = join(dir, 'resigner.yaml');
  writeFileSync(
    config,
    `collections: [${JSON.stringify(entry)}]\nkey: ${key}\nstate: {directory: state}\nlisten: ${listen}\n${more}`,
  );
  return { dir, config };
}

async function read(target: Awaited<ReturnType<typeof collectionIn>>, place: string): Promise<Collection> {
  const options = reading({ place, now: new Date(), isNamed: (name) => name === place });
  return (await readCollection(target, options)) as Collection;
}

function publish(target: Awaited<ReturnType<typeof collectionIn>>, place: string, name: string) {
  const options = reading({ place, now: new Date(), isNamed: (other) => other === place });
  return publishNames(target, options, naming({ [name]: name }), realPublisher());
}

async function serve(config: string, dir: string) {
  const server = await startServer({
    file: process.execPath,
    args: () => [BULLA, 'serve', 'resigner', '--config', config],
    env: { ...process.env, BULLA_HOME: join(dir, 'home') },
    announces: /http:\/\/127\.0\.0\.1:([0-9]+)/,
  });
  onTestFinished(() => server.stop());
  return server;
}

describe.each(KINDS)('the re-signer and %s', (kind, isThere) => {
  it.runIf(isThere)('keep a collection fresh, and take stages in', async () => {
    const registry = await startRegistry(kind);
    onTestFinished(() => registry.stop());
    const place = `${registry.host}/team/app`;
    const target = await collectionIn(registry, 'team/app', 10 * DAY);
    // olareg lists no repositories.
    const scope = kind === 'olareg' ? 'team/app' : 'team/*';
    const { dir, config } = configured(registry.host, '127.0.0.1:0', '', scope);
    const pass = await bulla(['resign', '--config', config, '--all'], {
      env: { BULLA_HOME: join(dir, 'home') },
    });
    expect(pass, pass.stderr).toMatchObject({ status: 0, stdout: expect.stringContaining('re-signed') });
    const { client } = await read(target, place);
    expect(client.trusted.timestamp.content.expires.getTime()).toBeGreaterThan(Date.now() + 13 * DAY);
    await serve(config, dir);
    await publish(target, place, 'v1');
    await publish(target, place, 'v2');
    const { client: after } = await read(target, place);
    for (const name of ['v1', 'v2']) expect((await after.findTarget(name)).role).toBe('names');
  });
});

describe('notifications of docker-registry', () => {
  it.runIf(havePeers('docker-registry'))('bring a stage into the head without asking for tags', async () => {
    const port = await freePort();
    const registry = await startDistribution('docker-registry', {
      notify: `http://127.0.0.1:${port}/notify`,
      notifySecret: SECRET,
    });
    onTestFinished(() => registry.stop());
    const place = `${registry.host}/team/app`;
    const target = await collectionIn(registry, 'team/app');
    // It looks by itself too rarely for this test.
    const { dir, config } = configured(
      registry.host,
      `127.0.0.1:${port}`,
      'notify: {secretFile: secret, poll: 1h, listEvery: 1h}\n',
    );
    const server = await serve(config, dir);
    const metrics = async (): Promise<string> => (await fetch(`http://${server.host}/metrics`)).text();
    await expect.poll(metrics, { timeout: 20_000 }).toContain('passes_total{work="none"} 1');
    await publish(target, place, 'v1');
    await expect.poll(metrics, { timeout: 20_000 }).toContain('folded_changes_total 1');
  });
});
