import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Tag } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import { HEAD_TAG } from '../../../src/trust/format/vocabulary.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { type Collection, readCollection } from '../../../src/trust/read/collection.ts';
import { bulla } from '../../support/cli.ts';
import { registryFor } from '../../support/registry/open.ts';
import {
  collectionIn,
  configFor,
  keyFile,
  realPublisher,
  serving,
  writeConfig,
} from '../../support/resign/service.ts';
import { naming, reading } from '../../support/trust/publishing.ts';
import { ONLINE, PUBLISHER } from '../../support/tuf/editing.ts';

const DAY = 86_400_000;
const SECRET = 'a-secret-of-some-length';

async function collectionAt(target: Target, place: string): Promise<Collection> {
  const options = reading({ place, now: new Date(), isNamed: (name) => name === place });
  return (await readCollection(target, options)) as Collection;
}

async function stage(target: Target, place: string, name: string): Promise<void> {
  const read = reading({ place, now: new Date(), isNamed: (other) => other === place });
  await publishNames(target, read, naming({ [name]: name }), realPublisher());
}

async function daysLeft(target: Target, place: string): Promise<number> {
  const { client } = await collectionAt(target, place);
  return (client.trusted.timestamp.content.expires.getTime() - Date.now()) / DAY;
}

describe('bulla serve resigner', () => {
  it('signs what is due, takes stages in, tells of it, and ends well', async () => {
    const registry = await registryFor();
    const target = await collectionIn(registry, 'team/app', 10 * DAY);
    const place = `${registry.host}/team/app`;
    const { code } = await serving(await configFor([`${registry.host}/team/*`]), async ({ url, log }) => {
      registry.repository('team/app');
      await expect.poll(async () => await daysLeft(target, place), { timeout: 20_000 }).toBeGreaterThan(13);
      await stage(target, place, 'v1');
      const metrics = async (): Promise<string> => (await fetch(`${url}/metrics`)).text();
      await expect.poll(metrics, { timeout: 10_000 }).toContain('bulla_resigner_folded_changes_total 1');
      const text = await metrics();
      const seconds = new RegExp(`expiry_seconds{collection="${place}",role="timestamp"} (\\d+)`).exec(text);
      expect(Number(seconds?.[1])).toBeGreaterThan(13 * 86_400);
      expect(text).toContain(`role="root"`);
      expect(text).toContain('bulla_resigner_registry_duration_seconds_count{operation="list_tags"}');
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
      expect(log().map(({ event }) => event)).toContain('pass');
    });
    expect(code).toBe(0);
  });

  it('takes other pins and keys while it runs, and keeps the old where the new cannot be used', async () => {
    const registry = await registryFor();
    const [one, two] = [
      await collectionIn(registry, 'team/one', 10 * DAY),
      await collectionIn(registry, 'team/two', 10 * DAY),
    ];
    const [first, second] = [`${registry.host}/team/one`, `${registry.host}/team/two`];
    const config = await configFor([first]);
    const dir = join(config, '..');
    await keyFile(dir, 'online.pem', PUBLISHER);
    await serving(config, async ({ log }) => {
      const alarms = (state: string): unknown[] =>
        log()
          .filter((line) => line['event'] === 'alarm' && line['state'] === state)
          .map(({ kind }) => kind);
      await expect.poll(() => alarms('firing'), { timeout: 10_000 }).toContain('key');
      await keyFile(dir, 'online.pem', ONLINE);
      await expect.poll(() => daysLeft(one, first), { timeout: 20_000 }).toBeGreaterThan(13);
      await writeFile(config, 'collections: [');
      await expect.poll(() => alarms('firing'), { timeout: 10_000 }).toContain('config');
      await stage(one, first, 'v1');
      expect(await daysLeft(two, second)).toBeLessThan(5);
      await writeConfig(config, [first, second]);
      await expect.poll(() => daysLeft(two, second), { timeout: 20_000 }).toBeGreaterThan(13);
      await expect.poll(() => alarms('resolved')).toEqual(expect.arrayContaining(['key', 'config']));
    });
  });

  it('asks for one short page of tags, however many versions there are', async () => {
    const registry = await registryFor();
    const target = await collectionIn(registry, 'team/app');
    const [manifest] = [await target.fetchManifest(HEAD_TAG)];
    for (let n = 0; n < 300; n++)
      await target.pushManifest(manifest, { tag: `v1.${String(n).padStart(4, '0')}` as Tag });
    await serving(await configFor([`${registry.host}/team/app`]), async ({ url }) => {
      const metrics = async (): Promise<string> => (await fetch(`${url}/metrics`)).text();
      await expect.poll(metrics, { timeout: 10_000 }).toMatch(/outcome="idle"} [1-9]/);
      const listings = registry.log.filter(({ path }) => path.includes('/tags/list'));
      expect(listings.length).toBeGreaterThan(0);
      for (const { path } of listings) expect(path).toMatch(/[?&]n=50(&|$)/);
    });
  });

  it('folds when it is told, and goes nowhere that a notification names', async () => {
    const registry = await registryFor();
    const elsewhere = await registryFor();
    const target = await collectionIn(registry, 'team/app');
    const place = `${registry.host}/team/app`;
    const config = await configFor([place], 'notify: {secretFile: secret}\n');
    await writeFile(join(config, '..', 'secret'), SECRET);
    await serving(config, async ({ url }) => {
      await expect.poll(async () => (await fetch(`${url}/metrics`)).text()).toContain('work="none"');
      const staging = stage(target, place, 'v1');
      const notify = async (): Promise<number> => {
        const target = {
          repository: 'team/app',
          tag: '_trust.stage.0123456789ab',
          url: `${elsewhere.origin}/x`,
        };
        const event = { action: 'push', target, request: { host: elsewhere.host } };
        const { status } = await fetch(`${url}/notify`, {
          method: 'POST',
          headers: { authorization: `Bearer ${SECRET}` },
          body: JSON.stringify({ events: [event] }),
        });
        return status;
      };
      await expect
        .poll(() => registry.requests(/_trust\.stage/).some((line) => line.startsWith('PUT')))
        .toBe(true);
      expect(await notify()).toBe(202);
      await staging;
    });
    expect(elsewhere.log).toEqual([]);
  });

  it.each([
    {
      what: 'answers that are cut off',
      fault: { method: 'GET', path: /manifests\/_trust$/, times: 4, action: { cutAfter: 100 } } as const,
    },
    {
      what: 'a storm of 429',
      fault: {
        path: /manifests|tags/,
        times: 6,
        action: { status: 429, headers: { 'retry-after': '1' } },
      } as const,
    },
    { what: 'a storm of 503', fault: { path: /./, times: 9, action: { status: 503 } } as const },
    {
      what: 'lost answers to what it pushes',
      fault: { method: 'PUT', path: /manifests/, times: 2, action: { loseAnswer: true } } as const,
    },
    {
      what: 'content that is changed on the way',
      fault: { method: 'GET', path: /manifests\/_trust$/, times: 3, action: { corrupt: true } } as const,
    },
  ])('gets over $what, and all is fresh again', async ({ fault }) => {
    const registry = await registryFor();
    const target = await collectionIn(registry, 'team/app', 10 * DAY);
    const place = `${registry.host}/team/app`;
    registry.fault(fault);
    await serving(await configFor([place]), async () => {
      await expect
        .poll(() => daysLeft(target, place).catch(() => 0), { timeout: 28_000, interval: 300 })
        .toBeGreaterThan(13);
    });
  });
});

describe('bulla resign', () => {
  it('makes one pass over all of a configuration, and says how it went', async () => {
    const registry = await registryFor();
    const place = `${registry.host}/team/app`;
    const target = await collectionIn(registry, 'team/app', 10 * DAY);
    const config = await configFor([place]);
    const first = await bulla(['resign', '--config', config, '--all', '-o', 'json']);
    expect(first.code).toBe(0);
    expect(first.json()).toMatchObject({
      ok: true,
      fresh: true,
      collections: [{ place, outcome: 'renewed', folded: 0, conflicts: 0 }],
    });
    expect(await daysLeft(target, place)).toBeGreaterThan(13);
    const second = await bulla(['resign', '--config', config, place]);
    expect([second.code, second.stdout]).toEqual([0, expect.stringMatching(/: fresh, until .* UTC\n$/)]);
  });

  it('ends with the worst outcome, and serves the others', async () => {
    const registry = await registryFor();
    const target = await collectionIn(registry, 'team/good', 10 * DAY);
    const places = ['good', 'gone'].map((name) => `${registry.host}/team/${name}`);
    const { code, stdout, stderr } = await bulla(['resign', '--config', await configFor(places), '--all']);
    expect(code).toBe(22);
    expect(stdout).toContain('team/gone: trust-invalid');
    expect(stdout).toContain('team/good: re-signed');
    expect(stderr).toContain('warning: ');
    expect(await daysLeft(target, places[0] as string)).toBeGreaterThan(13);
  });

  it('ends with a rollback where it had to put a head back, once', async () => {
    const registry = await registryFor();
    const place = `${registry.host}/team/app`;
    const target = await collectionIn(registry, 'team/app', 10 * DAY);
    const old = await target.fetchManifest(HEAD_TAG);
    const config = await configFor([place]);
    const pass = (days = 0) =>
      bulla(['resign', '--config', config, '--all', '-o', 'json'], {
        now: new Date(Date.now() + days * DAY),
      });
    expect((await pass()).code).toBe(0);
    const fresh = (await target.resolve(HEAD_TAG)).digest;
    await target.deleteTag(HEAD_TAG);
    const healed = await pass();
    expect(healed.code).toBe(21);
    expect(healed.json()).toMatchObject({
      fresh: false,
      worst: 'trust-rollback',
      collections: [{ place, outcome: 'healed', alarms: [{ kind: 'healed', code: 'trust-rollback' }] }],
    });
    expect((await target.resolve(HEAD_TAG)).digest).toBe(fresh);
    expect(fresh).not.toBe(old.descriptor.digest);
    expect((await pass()).code).toBe(0);
  });

  it('serves others where a catalogue is not there, and says what to do', async () => {
    const registry = await registryFor();
    const silent = await registryFor();
    silent.fault({ path: /_catalog/, times: 100, action: { status: 404 } });
    const target = await collectionIn(registry, 'team/app', 10 * DAY);
    const place = `${registry.host}/team/app`;
    const config = await configFor([place, `${silent.host}/*`]);
    const { code, stdout, stderr } = await bulla(['resign', '--config', config, '--all']);
    expect(code).toBe(11);
    expect(stdout).toContain(`${silent.host}/*: not-found`);
    expect(stderr).toContain('name them one by one');
    expect(await daysLeft(target, place)).toBeGreaterThan(13);
  });

  it('warns where it has no state, and then signs no head that has expired', async () => {
    const registry = await registryFor();
    await collectionIn(registry, 'team/app', 20 * DAY);
    const config = await configFor([`${registry.host}/team/app`], '');
    await writeFile(config, (await readFile(config, 'utf8')).replace(/^state.*$/m, ''));
    const { code, stderr } = await bulla(['resign', '--config', config, '--all']);
    expect(code).toBe(20);
    expect(stderr).toContain('no state is configured');
  });

  it.each([
    { what: 'nothing', argv: [] },
    { what: 'all of nothing', argv: ['--all'] },
    { what: 'all and one', argv: ['--config', 'x', '--all', 'r.example.com/a'] },
    { what: 'a pin beside a configuration', argv: ['--config', 'CONFIG', '--all', '--tofu'] },
    { what: 'a shard of one', argv: ['--shard', '0/2', 'r.example.com/a'] },
    { what: 'a shard that is none', argv: ['--config', 'CONFIG', '--all', '--shard', '2/2'] },
    {
      what: 'a head for several',
      argv: ['--trust-served-head', `sha256:${'0'.repeat(64)}`, 'a.b/c', 'a.b/d'],
    },
  ])('refuses $what', async ({ argv }) => {
    const config = await configFor(['r.example.com/a']);
    const { code } = await bulla(['resign', ...argv.map((word) => (word === 'CONFIG' ? config : word))]);
    expect(code).toBe(2);
  });
});

describe('a re-signer that is killed', () => {
  it('at any moment leaves a head that verifies, and another one goes on', async () => {
    const registry = await registryFor();
    const place = `${registry.host}/team/app`;
    const target = await collectionIn(registry, 'team/app', 10 * DAY);
    const config = await configFor([place]);
    const main = new URL('../../../dist/bulla.js', import.meta.url).pathname;
    let killed = 0;
    for (let at = 1; at <= 6; at++) {
      const before = registry.log.length;
      const child = spawn(process.execPath, [main, 'resign', '--config', config, '--all', '--renew'], {
        stdio: 'ignore',
        env: { ...process.env, BULLA_HOME: join(config, '..', 'home') },
      });
      const ended = once(child, 'exit');
      // Killed when it has sent so many requests, wherever it is then.
      const timer = setInterval(() => {
        if (registry.log.length - before >= 3 * at) child.kill('SIGKILL');
      }, 1);
      const [, signal] = (await ended) as [number | null, string | null];
      clearInterval(timer);
      if (signal === 'SIGKILL') killed++;
      await collectionAt(target, place);
    }
    expect(killed).toBeGreaterThan(1);
    const { code, stdout } = await bulla(['resign', '--config', config, '--all', '--renew']);
    expect([code, stdout]).toEqual([0, expect.stringContaining('re-signed')]);
    expect(await daysLeft(target, place)).toBeGreaterThan(13);
  });
});
