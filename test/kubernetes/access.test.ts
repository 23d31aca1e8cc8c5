import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { HttpPool } from '../../src/http/pool.ts';
import { type ClusterAccess, kubeconfigAccess } from '../../src/kubernetes/access.ts';
import { KubernetesClient } from '../../src/kubernetes/client.ts';

async function accessTo(server: string): Promise<ClusterAccess> {
  const path = join(await mkdtemp(join(tmpdir(), 'bulla-kubeconfig-')), 'config');
  const config = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server } }],
    users: [{ name: 'u', user: { token: 'secret' } }],
  };
  await writeFile(path, JSON.stringify(config));
  return await kubeconfigAccess({ KUBECONFIG: path }, '/nowhere');
}

it.each(['http://cluster.example:8080', 'http://192.0.2.1', 'http://127.0.0.1.cluster.example'])(
  'sends no token to %s and reads no key from it: it has no TLS',
  async (server) => {
    await expect(accessTo(server)).rejects.toMatchObject({ code: 'config-invalid' });
  },
);

it.each([
  ['https://cluster.example:6443', 'https://cluster.example:6443/api/v1/x'],
  ['https://proxy.example/k8s/clusters/c-1', 'https://proxy.example/k8s/clusters/c-1/api/v1/x'],
  ['https://proxy.example/k8s/', 'https://proxy.example/k8s/api/v1/x'],
  ['http://127.0.0.1:8001', 'http://127.0.0.1:8001/api/v1/x'],
  ['http://localhost:8001', 'http://localhost:8001/api/v1/x'],
])('asks a cluster at %s below its address', async (server, expected) => {
  const asked: string[] = [];
  const pool = {
    send: async ({ url }: { url: URL }) => {
      asked.push(url.href);
      throw new Error('asked');
    },
  };
  const client = new KubernetesClient(await accessTo(server), pool as unknown as HttpPool);
  await expect(client.get('/api/v1/x')).rejects.toThrow('asked');
  expect(asked).toEqual([expected]);
});
