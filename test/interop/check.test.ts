import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bulla, havePeers } from './peers.ts';
import {
  HAS_REFERRERS_API,
  NEEDS,
  type Registry,
  type RegistryKind,
  startDistribution,
  startRegistry,
} from './registries.ts';

/** What each of them was seen to do (docs/registries.md). */
const SEEN = {
  'docker-registry': { etag: true, deleteTags: false, conditions: false, mount: 'mounted' },
  registry3: { etag: true, deleteTags: true, conditions: false, mount: 'mounted' },
  'registry3-s3': { etag: true, deleteTags: true, conditions: false, mount: 'mounted' },
  olareg: { etag: false, deleteTags: true, conditions: false, mount: 'mounted' },
  crane: { etag: false, deleteTags: true, conditions: false, mount: 'upload' },
  ocimem: { etag: false, deleteTags: true, conditions: false, mount: 'mounted' },
  embedded: { etag: true, deleteTags: true, conditions: true, mount: 'mounted' },
} as const satisfies Record<RegistryKind, object>;

interface Report {
  readonly ok: boolean;
  readonly works: Readonly<Record<string, string>>;
  readonly left: readonly string[];
  readonly checks: readonly {
    readonly check: string;
    readonly state: string;
    readonly found: string;
    readonly facts: Readonly<Record<string, unknown>>;
  }[];
}

const home = mkdtempSync(join(tmpdir(), 'bulla-check-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

async function check(
  args: readonly string[],
): Promise<{ readonly status: number; readonly report: Report; readonly facts: (name: string) => object }> {
  const env = { BULLA_HOME: home, DOCKER_CONFIG: home };
  const { status, stdout } = await bulla(['check', ...args, '-o', 'json'], { env });
  const json = JSON.parse(stdout) as Report & { readonly details: Report };
  const report = json.ok ? json : json.details;
  const facts = (name: string): object => report.checks.find((one) => one.check === name)?.facts ?? {};
  return { status, report, facts };
}

async function tags(host: string, repository: string): Promise<readonly string[]> {
  const response = await fetch(`http://${host}/v2/${repository}/tags/list`);
  const json = (await response.json()) as { readonly tags?: readonly string[] | null };
  return json.tags ?? [];
}

describe.each(Object.keys(SEEN) as RegistryKind[])('%s', (kind) => {
  describe.runIf(havePeers(...NEEDS[kind]))('as bulla check sees it', () => {
    let registry: Registry;
    beforeAll(async () => {
      registry = await startRegistry(kind);
    });
    afterAll(() => registry?.stop());

    it('takes signatures and collections, and is left as it was', async () => {
      const { status, report, facts } = await check([`${registry.host}/team/app`, '--write']);
      expect(status, JSON.stringify(report, undefined, 1)).toBe(0);
      expect(report.works).toEqual({ verifying: 'yes', signing: 'yes', collections: 'yes' });
      const { etag, deleteTags, conditions } = SEEN[kind];
      expect(facts('referrers')).toMatchObject({ by: HAS_REFERRERS_API[kind] ? 'api' : 'fallback' });
      expect(facts('conditional-get')).toEqual({ etag, notModified: etag });
      const condition = conditions ? 'honoured' : 'ignored';
      expect(facts('conditional-put')).toEqual({ ifMatch: condition, ifNoneMatch: condition });
      expect(facts('delete-tags')).toMatchObject({ works: deleteTags });
      expect(facts('delete-manifests')).toMatchObject({ works: true });
      expect(facts('head')).toMatchObject({ status: 200, digest: 'same', length: 'same', type: 'same' });
      expect(facts('mount')).toEqual({ outcome: SEEN[kind].mount });
      expect(report.left).toEqual([]);
      expect(await tags(registry.host, 'team/app')).toEqual([]);
    });

    it('is tried in a repository of its own, between two of them', async () => {
      const { status, report, facts } = await check([registry.host, '--write']);
      expect(status, JSON.stringify(report, undefined, 1)).toBe(0);
      expect(facts('mount')).toEqual({ outcome: SEEN[kind].mount });
      expect(report.left).toEqual([]);
      expect(await tags(registry.host, 'bulla-check')).toEqual([]);
    });

    it('has its dialect remembered', () => {
      const known = JSON.parse(readFileSync(join(home, 'cache', 'registries.json'), 'utf8')) as object;
      expect(known).toMatchObject({
        [registry.host]: {
          referrers: HAS_REFERRERS_API[kind] ? 'api' : 'fallback',
          conditional: SEEN[kind].etag ? 'etag' : 'head',
          head: 'works',
        },
      });
    });
  });
});

describe.runIf(havePeers('docker-registry'))('docker-registry with other settings', () => {
  it('keeps what was pushed where removal is switched off, which is told', async () => {
    const registry = await startDistribution('docker-registry', { deletion: false });
    try {
      const { status, report, facts } = await check([`${registry.host}/team/app`, '--write']);
      expect(status).toBe(0);
      expect(facts('delete-manifests')).toMatchObject({ works: false, status: 405 });
      expect(report.left).not.toEqual([]);
      const left = report.left.filter((one) => !one.includes('@')).map((one) => one.split(':').at(-1));
      expect([...(await tags(registry.host, 'team/app'))].sort()).toEqual([...left].sort());
    } finally {
      await registry.stop();
    }
  });

  it('refuses strangers', async () => {
    const registry = await startDistribution('docker-registry', { users: { alice: 'wonder:land' } });
    try {
      const { status, report } = await check([`${registry.host}/team/app`, '--write']);
      expect(status).toBe(4);
      expect(report.works).toEqual({ verifying: 'no', signing: 'no', collections: 'no' });
    } finally {
      await registry.stop();
    }
  });
});
