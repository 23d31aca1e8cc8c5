import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { ground } from '../support/notary/importing.ts';

const BULLA = new URL('../../dist/bulla.js', import.meta.url).pathname;
const WHOLE = ['_trust', '_trust.notary', 'v1', 'v2'];
const NEVER = '2099-01-01T00:00:00Z';

/** An import in a process of its own, whose trust data never expires: it goes by the real clock. */
async function killable() {
  const place = await ground();
  place.serve({ version: 2, expires: NEVER, timestampExpires: NEVER, rootExpires: NEVER });
  const argv = ['import', 'notary', place.name, '--server', place.notary.url, ...place.rootKey, '-o', 'json'];
  const start = (more: Record<string, string> = {}, extra: readonly string[] = []) => {
    const child = spawn(process.execPath, [BULLA, ...argv, ...extra], {
      cwd: place.home,
      env: { ...process.env, ...place.env, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    const ended = once(child, 'close').then(([status, signal]) => ({
      status: status ?? signal,
      stdout,
      stderr,
    }));
    return { child, ended };
  };
  return { ...place, start };
}

describe('bulla import notary, as a process that', { timeout: 120_000 }, () => {
  async function expectWhole({ start, tags }: Awaited<ReturnType<typeof killable>>): Promise<void> {
    const again = await start().ended;
    expect(again, again.stderr).toMatchObject({ status: 0 });
    // What was tried at the registry may be left behind; cleaning up removes it after two days.
    expect((await tags()).filter((tag) => !tag.startsWith('_trust.next'))).toEqual(WHOLE);
  }

  it.each([
    ['its first blob', /\/blobs\//],
    ['the evidence', /\/manifests\/_trust\.notary/],
    ['the head', /\/manifests\/_trust$/],
  ])('is killed before %s is written, and run again: one complete collection', async (_, path) => {
    const place = await killable();
    const killed = place.start();
    place.registry.fault({
      method: 'PUT',
      path,
      action: { answer: () => void killed.child.kill('SIGKILL') },
    });
    expect(await killed.ended).toMatchObject({ status: 'SIGKILL' });
    await expectWhole(place);
  });

  it.each(['_trust.notary', '_trust'])(
    'is killed once %s was written, and run again: one complete collection',
    async (written) => {
      const place = await killable();
      const killed = place.start();
      place.registry.behaviour.afterTagPut = (_, tag) => {
        if (tag === written) killed.child.kill('SIGKILL');
      };
      expect(await killed.ended).toMatchObject({ status: 'SIGKILL' });
      await expectWhole(place);
    },
  );

  it('meets another one at the same time: one of them is the collection, and the other says so', async () => {
    const { start, tags, home, run, name, two } = await killable();
    const ended = await Promise.all([start().ended, start({ BULLA_HOME: `${home}/other` }).ended]);
    expect(ended.map(({ status }) => status).sort()).toEqual([0, 30]);
    expect(await tags()).toEqual(WHOLE);
    expect(await run(['verify', `${name}:v2`, '--tofu'])).toMatchObject({
      stdout: `${name}@${two.descriptor.digest}\n`,
    });
  });

  it('is not taken for its own where another machine made the collection', async () => {
    const { start, home } = await killable();
    expect(await start({ BULLA_HOME: `${home}/other` }).ended).toMatchObject({ status: 0 });
    expect(await start().ended).toMatchObject({ status: 25 });
  });
});
