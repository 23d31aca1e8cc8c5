import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { HEAD_TAG } from '../../src/trust/format/vocabulary.ts';
import { bulla, havePeers, peer } from './peers.ts';
import { alarms, DAY, daysLeft, type Ground, ground, publish, read, serve } from './resigner-ground.ts';

describe.runIf(havePeers('docker-registry'))('a disk that is really full', () => {
  it('keeps the re-signer from signing, damages nothing, and all goes on when there is room', async () => {
    const mounted = mkdtempSync(join(tmpdir(), 'bulla-full-'));
    onTestFinished(() => rmSync(mounted, { recursive: true, force: true }));
    const on = await ground('docker-registry', mounted);
    // Mounted for that process alone, so that nothing is left whatever happens.
    const own = process.getuid?.() === 0 ? [] : ['--map-root-user'];
    const script = `mount -t tmpfs -o size=256k none "$0" && exec "$@"`;
    const { server, events } = await serve(on, ['unshare', '--mount', ...own, 'sh', '-c', script, mounted]);
    await publish(on, 'v1');
    const inside = `/proc/${server.pid}/root${mounted}`;
    const [id] = readdirSync(join(inside, 'signers')) as [string];
    const record = (): { served: { timestamp: number } } =>
      JSON.parse(readFileSync(join(inside, 'signers', id, 'record.json'), 'utf8'));
    const before = record();
    expect(() => writeFileSync(join(inside, 'fill'), Buffer.alloc(1024 * 1024))).toThrow(/ENOSPC/);

    const head = (await on.target.resolve(HEAD_TAG)).digest;
    const staged = publish(on, 'v2', 60_000);
    await expect.poll(() => alarms(events(), 'state'), { timeout: 20_000 }).toEqual(['firing']);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect((await on.target.resolve(HEAD_TAG)).digest).toBe(head);
    expect(record()).toEqual(before);

    rmSync(join(inside, 'fill'));
    await staged;
    await expect.poll(() => alarms(events(), 'state'), { timeout: 60_000 }).toEqual(['firing', 'resolved']);
    expect(await daysLeft(on, ['v1', 'v2'])).toBeGreaterThan(13);
    expect(record().served.timestamp).toBeGreaterThan(before.served.timestamp);
    expect(readdirSync(join(inside, 'signers', id)).filter((name) => name.includes('tmp'))).toEqual([]);
  });
});

/** Where Debian has the library that `faketime` loads. */
function fakeClockLibrary(): string {
  peer('faketime');
  const found = ['x86_64-linux-gnu', 'aarch64-linux-gnu', '']
    .map((machine) => join('/usr/lib', machine, 'faketime', 'libfaketimeMT.so.1'))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error('faketime is there without its library');
  return found;
}

describe.runIf(havePeers('docker-registry', 'faketime'))('a clock that is a month wrong', () => {
  it.each(['+30d', '-30d'])(
    'by %s damages nothing, makes nothing old young, and all is fresh afterwards',
    async (shift) => {
      const on = await ground('docker-registry', 'state');
      const clock = join(on.dir, 'clock');
      // Whole at any moment: it is read at each look at the clock.
      const set = (offset: string): void => {
        writeFileSync(`${clock}.new`, offset);
        renameSync(`${clock}.new`, clock);
      };
      set('+0');
      const { server } = await serve(on, [], {
        LD_PRELOAD: fakeClockLibrary(),
        FAKETIME_TIMESTAMP_FILE: clock,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        FAKETIME_DONT_RESET: '1',
      });
      await publish(on, 'v1');
      const old = await on.target.fetchManifest(HEAD_TAG);
      await publish(on, 'v2');

      set(shift);
      await publish(on, 'v3', 5_000).catch(() => undefined);
      // What lasts for a year for others lasts for a month more or less for it.
      const days = async (): Promise<number> => {
        const text = await (await fetch(`http://${server.host}/metrics`)).text();
        return Number(/expiry_seconds{[^}]*role="root"} (\d+)/.exec(text)?.[1]) / 86_400;
      };
      const difference = async (): Promise<number> => Math.round(365 - (await days()));
      await expect.poll(difference, { timeout: 30_000 }).toBe(Number.parseInt(shift, 10));
      await on.target.pushManifest(old, { tag: HEAD_TAG });
      await new Promise((resolve) => setTimeout(resolve, 4_000));
      // Whatever is there now: the old head as it was, or one that has what it has not.
      const there = await on.target.resolve(HEAD_TAG);
      if (there.digest !== old.descriptor.digest) {
        const { client } = await read(on, Number.parseInt(shift, 10) * DAY);
        expect((await client.findTarget('v2')).role).toBe('names');
      }

      set('+0');
      await expect
        .poll(() => daysLeft(on, ['v1', 'v2']), { timeout: 60_000, interval: 500 })
        .toBeGreaterThan(6);
      await publish(on, 'v4', 60_000);
      expect(await daysLeft(on, ['v1', 'v2', 'v4'])).toBeGreaterThan(6);
    },
  );

  it('does not make an old head young in one pass, a month later, and signs the right one when it is put back', async () => {
    const on = await ground('docker-registry', 'state');
    const pass = (offset: string) =>
      startPass(on, { LD_PRELOAD: fakeClockLibrary(), FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' });
    expect((await pass('+0')).status).toBe(0);
    const old = await on.target.fetchManifest(HEAD_TAG);
    const renewed = await pass('+8d');
    expect([renewed.status, renewed.output]).toEqual([0, expect.stringContaining('re-signed')]);
    const latest = await on.target.fetchManifest(HEAD_TAG);
    for (const tag of await on.target.listTags())
      if (tag !== HEAD_TAG) await on.target.deleteManifest((await on.target.resolve(tag)).digest);
    await on.target.pushManifest(old, { tag: HEAD_TAG });
    // Nor is anything remembered but the state.
    rmSync(join(on.dir, 'state', 'trust'), { recursive: true, force: true });
    const late = await pass('+40d');
    expect([20, 21], late.output).toContain(late.status);
    expect((await on.target.resolve(HEAD_TAG)).digest).toBe(old.descriptor.digest);
    await on.target.pushManifest(latest, { tag: HEAD_TAG });
    const after = await pass('+40d');
    expect([after.status, after.output]).toEqual([0, expect.stringContaining('re-signed')]);
  });
});

async function startPass(
  { config, dir }: Ground,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly output: string }> {
  mkdirSync(join(dir, 'home'), { recursive: true });
  const { status, stdout, stderr } = await bulla(['resign', '--config', config, '--all'], {
    env: { BULLA_HOME: join(dir, 'home'), ...env },
  });
  return { status, output: stdout + stderr };
}
