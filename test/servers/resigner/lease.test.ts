import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { JsonObject } from '../../../src/encoding/json.ts';
import { BullaError } from '../../../src/errors.ts';
import { HttpPool } from '../../../src/http/pool.ts';
import { podAccess, tokenIn } from '../../../src/kubernetes/access.ts';
import { KubernetesClient } from '../../../src/kubernetes/client.ts';
import { LeaseElection } from '../../../src/servers/resigner/lease.ts';
import { temporaryDirectory } from '../../support/cli.ts';
import { codeOf } from '../../support/registry/open.ts';
import { FakeCluster, serveCluster } from '../../support/resign/kubernetes.ts';
import { VirtualTime } from '../../support/resign/virtual-time.ts';

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/trust/leases';

/** Replicas that want to lead, in virtual time. */
function electionOf(count: number) {
  const cluster = new FakeCluster();
  const time = new VirtualTime();
  const leading = new Set<string>();
  const problems: string[] = [];
  const cuts = new Map<string, boolean>();
  const elections = Array.from({ length: count }, (_, n) => {
    const identity = `pod-${n}`;
    const guarded =
      <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
      async (...args: A): Promise<R> => {
        if (cuts.get(identity) === true)
          throw new BullaError('registry-unreachable', 'cut off', { hint: 'none' });
        return await call(...args);
      };
    const client = {
      namespace: 'trust',
      get: guarded((path: string) => cluster.get(path)),
      create: guarded((path: string, object: JsonObject) => cluster.create(path, object)),
      replace: guarded((path: string, object: JsonObject) => cluster.replace(path, object)),
    };
    return new LeaseElection(client as unknown as KubernetesClient, {
      name: 'resigner',
      namespace: 'trust',
      identity,
      durationMs: 15_000,
      clock: time,
      monotonic: time.monotonic,
      fraction: () => n / count,
      onChange: (isLeader) => {
        if (isLeader) leading.add(identity);
        else leading.delete(identity);
      },
      problem: (message) => problems.push(message),
    });
  });
  onTestFinished(async () => {
    for (const election of elections) await time.until(election.close());
  });
  return { cluster, time, leading, problems, cuts, elections };
}

describe('the election of a leader', () => {
  it('makes one of several lead, and keeps it', async () => {
    const { time, leading, elections, cluster } = electionOf(3);
    for (const election of elections) election.start();
    await time.pass(10_000);
    expect(leading.size).toBe(1);
    const [first] = leading;
    await time.pass(3_600_000);
    expect([...leading]).toEqual([first]);
    const { spec } = cluster.objects.get(`${LEASES}/resigner`) as { spec: JsonObject };
    expect(spec).toMatchObject({ holderIdentity: first, leaseDurationSeconds: 15, leaseTransitions: 1 });
    expect(spec['renewTime']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  });

  it('lets another lead after one that fell silent, which steps back before', async () => {
    const { time, leading, elections, cuts, problems } = electionOf(2);
    for (const election of elections) election.start();
    await time.pass(10_000);
    const [first] = leading;
    cuts.set(first as string, true);
    let both = 0;
    for (let second = 0; second < 60; second++) {
      await time.pass(1_000);
      if (leading.size > 1) both++;
    }
    expect(both).toBe(0);
    expect(leading.size).toBe(1);
    expect([...leading]).not.toEqual([first]);
    expect(problems.length).toBeGreaterThan(0);
    cuts.set(first as string, false);
    await time.pass(60_000);
    expect(leading.size).toBe(1);
  });

  it('goes by what is seen, not by the times that others write', async () => {
    const { time, leading, elections, cluster } = electionOf(2);
    elections[0]?.start();
    await time.pass(1_000);
    const held = cluster.objects.get(`${LEASES}/resigner`) as { spec: JsonObject };
    held.spec['renewTime'] = '1970-01-01T00:00:00.000000Z';
    elections[1]?.start();
    await time.pass(60_000);
    expect([...leading]).toEqual(['pod-0']);
  });

  it('gives the lease back when it ends', async () => {
    const { time, leading, elections } = electionOf(2);
    elections[0]?.start();
    await time.pass(1_000);
    elections[1]?.start();
    await time.pass(5_000);
    await time.until((elections[0] as LeaseElection).close());
    await time.pass(6_000);
    expect([...leading]).toEqual(['pod-1']);
  });
});

describe('the client of Kubernetes', () => {
  async function clientOf(cluster: FakeCluster, tokens = ['first']) {
    const dir = await temporaryDirectory();
    const tokenFile = join(dir, 'token');
    await writeFile(tokenFile, `${tokens[0]}\n`);
    let token = tokens[0] as string;
    const { url, stop } = await serveCluster(cluster, () => token);
    const pool = new HttpPool();
    onTestFinished(async () => {
      await pool.close();
      await stop();
    });
    const client = new KubernetesClient(
      { url, token: tokenIn(tokenFile), namespace: 'trust', tls: {} },
      pool,
    );
    return {
      client,
      turn: async (next: string) => {
        token = next;
        await writeFile(tokenFile, next);
      },
    };
  }
  const lease = (resourceVersion?: string): JsonObject => ({
    metadata: { name: 'x', ...(resourceVersion !== undefined && { resourceVersion }) },
  });

  it('makes, reads and replaces objects, and notices when another was faster', async () => {
    const cluster = new FakeCluster();
    const { client } = await clientOf(cluster);
    expect(await client.get(`${LEASES}/x`)).toBeUndefined();
    const made = await client.create(LEASES, lease());
    expect(await client.get(`${LEASES}/x`)).toEqual(made);
    expect(await codeOf(client.create(LEASES, lease()))).toBe('conflict');
    await client.replace(`${LEASES}/x`, made);
    expect(await codeOf(client.replace(`${LEASES}/x`, made))).toBe('conflict');
  });

  it('reads its token again, because it is replaced every hour', async () => {
    const { client, turn } = await clientOf(new FakeCluster());
    await turn('second');
    expect(await client.get(`${LEASES}/x`)).toBeUndefined();
  });

  it('says what is wrong where it may not', async () => {
    const cluster = new FakeCluster();
    cluster.outage = new BullaError('unauthorized', 'no', { hint: 'none' });
    const { client } = await clientOf(cluster);
    expect(await codeOf(client.get(`${LEASES}/x`))).toBe('unauthorized');
  });

  it('says so outside of a cluster', async () => {
    expect(await codeOf(podAccess({}))).toBe('usage');
  });
});
