import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { artifact, digestOf, temporaryDirectory } from './client.ts';
import { killRepeatedly, startChild } from './kill.ts';

describe('a registry that is killed', () => {
  it('has all that it acknowledged, and refers to nothing that is missing', async () => {
    expect(await killRepeatedly(await temporaryDirectory(), 3)).toBeGreaterThan(0);
  });
});

describe('a disk that is full', () => {
  it('is answered with 507, nothing is half there, and all goes on where there is room', async () => {
    const dir = await temporaryDirectory();
    // No file may grow beyond 1 MiB (in blocks of 512 bytes).
    const { child, client } = await startChild(dir, 'ulimit -f 2048;');
    await client.pushBlob('{}');
    const large = Buffer.alloc(3 * 1024 * 1024, 7);
    const whole = await client.send('POST', `/v2/team/app/blobs/uploads/?digest=${digestOf(large)}`, {
      body: large,
    });
    expect(whole.status).toBe(507);
    const location = await client.startUpload();
    expect((await client.send('PATCH', location, { body: large })).status).toBe(507);
    expect((await client.send('GET', location)).status).toBe(404);
    const manifest = artifact('x'.repeat(2 * 1024 * 1024));
    expect((await client.put('large', manifest)).status).toBe(507);
    expect((await client.get('/manifests/large')).status).toBe(404);
    expect((await client.put('small', artifact('small'))).status).toBe(201);
    expect(await readdir(join(dir, '.bulla', 'uploads'))).toEqual([]);
    const blobs = join(dir, 'team', 'app', 'blobs', 'sha256');
    const names = await readdir(blobs);
    expect(names.sort()).toEqual([digestOf('{}'), digestOf(artifact('small'))].map((d) => d.slice(7)).sort());
    child.process.kill('SIGTERM');
    expect((await child.ended).status).toBe(0);
  });

  it('does not let the journal lie: what it could not take was not done', async () => {
    const dir = await temporaryDirectory();
    const { child, client } = await startChild(dir, 'ulimit -f 64;');
    await client.pushBlob('{}');
    const done: string[] = [];
    let refused = 0;
    // The journal is full at 32 KiB; it is started anew when index.json is written, which is full as well later.
    for (let i = 0; i < 300; i++) {
      const answer = await client.put(`t${i}`, artifact(String(i)));
      if (answer.status === 201) done.push(`t${i}`);
      else {
        expect(answer.status).toBe(507);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0);
    child.process.kill('SIGKILL');
    await child.ended;
    const again = await startChild(dir);
    expect([...((await again.client.get('/tags/list')).json()['tags'] as string[])].sort()).toEqual(
      done.sort(),
    );
    again.child.process.kill('SIGTERM');
    await again.child.ended;
    expect((await stat(join(dir, 'team', 'app', 'index.json'))).size).toBeGreaterThan(0);
  });
});
