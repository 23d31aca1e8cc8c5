import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Target } from '../../src/oci/target.ts';
import { readCollection } from '../../src/trust/collection.ts';
import { publishNames } from '../../src/trust/publish.ts';
import { HEAD_TAG } from '../../src/trust/vocabulary.ts';
import { type Server, startServer } from '../support/process.ts';
import { collectionIn, realPublisher } from '../support/resign/service.ts';
import { naming, reading } from '../support/trust/publishing.ts';
import { ONLINE, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';
import { BULLA, bulla, cleanEnvironment, havePeers, peer } from './peers.ts';
import { type Registry, startRegistry } from './registries.ts';

const DAY = 86_400_000;

interface Ground {
  readonly registry: Registry;
  readonly place: string;
  readonly target: Target;
  /** Where key and configuration are, and what else a test puts there. */
  readonly dir: string;
  readonly config: string;
}

/** A collection in docker-registry, and the configuration of a re-signer for it. */
async function ground(state: string, agoMs = 0): Promise<Ground> {
  const registry = await startRegistry('docker-registry');
  onTestFinished(() => registry.stop());
  const dir = mkdtempSync(join(tmpdir(), 'bulla-faults-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const key = join(dir, 'online.pem');
  writeFileSync(key, poolKey(ONLINE).privateKey.export({ type: 'pkcs8', format: 'pem' }));
  chmodSync(key, 0o600);
  const place = `${registry.host}/team/app`;
  const config = join(dir, 'resigner.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      collections: [{ repositories: place, rootKeyIds: [poolKey(ROOT).key.keyid] }],
      key,
      state: { directory: state },
      listen: '127.0.0.1:0',
      schedule: { poll: '200ms' },
    }),
  );
  return { registry, place, target: await collectionIn(registry, 'team/app', agoMs), dir, config };
}

type Event = Readonly<Record<string, unknown>>;

/** Runs the service in some way, and reads what it logs. */
async function serve(
  { config, dir }: Ground,
  before: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly server: Server; readonly events: () => Event[] }> {
  const [file, ...rest] = [...before, process.execPath, BULLA, 'serve', 'resigner', '--config', config];
  const server = await startServer({
    file: file as string,
    args: () => rest,
    env: { ...cleanEnvironment(), BULLA_HOME: join(dir, 'home'), ...env },
    announces: /http:\/\/127\.0\.0\.1:([0-9]+)/,
  });
  onTestFinished(() => server.stop());
  const events = (): Event[] =>
    server
      .log()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Event);
  return { server, events };
}

const alarms = (events: readonly Event[], kind: string): unknown[] =>
  events.filter((one) => one['event'] === 'alarm' && one['kind'] === kind).map(({ state }) => state);

async function read({ target, place }: Ground, shiftMs = 0) {
  const now = new Date(Date.now() + shiftMs);
  const options = reading({ place, now, isNamed: (name) => name === place });
  const collection = await readCollection(target, options);
  if (collection === undefined) throw new Error(`nothing at ${place}`);
  return collection;
}

const publish = ({ target, place }: Ground, name: string, wait = 20_000) =>
  publishNames(
    target,
    reading({ place, now: new Date(), isNamed: (other) => other === place }),
    naming({ [name]: name }),
    { ...realPublisher(), wait },
  );

/** Days that clients with a right clock may still use the head, all names being there; negative where they may not. */
async function daysLeft(on: Ground, names: readonly string[]): Promise<number> {
  try {
    const { client } = await read(on);
    for (const name of names) await client.findTarget(name);
    return (client.trusted.timestamp.content.expires.getTime() - Date.now()) / DAY;
  } catch {
    return -1;
  }
}

describe.runIf(havePeers('docker-registry'))('a disk that is really full', () => {
  it('keeps the re-signer from signing, damages nothing, and all goes on when there is room', async () => {
    const mounted = mkdtempSync(join(tmpdir(), 'bulla-full-'));
    onTestFinished(() => rmSync(mounted, { recursive: true, force: true }));
    const on = await ground(mounted);
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
      const on = await ground('state');
      const clock = join(on.dir, 'clock');
      writeFileSync(clock, '+0');
      const { events } = await serve(on, [], {
        LD_PRELOAD: fakeClockLibrary(),
        FAKETIME_TIMESTAMP_FILE: clock,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        FAKETIME_DONT_RESET: '1',
      });
      await publish(on, 'v1');
      const old = await on.target.fetchManifest(HEAD_TAG);
      await publish(on, 'v2');

      writeFileSync(clock, shift);
      await publish(on, 'v3', 5_000).catch(() => undefined);
      const wrong = events().filter(({ time }) => Math.abs(Date.parse(String(time)) - Date.now()) > 20 * DAY);
      expect(wrong.length, 'the clock is not a month wrong').toBeGreaterThan(0);
      await on.target.pushManifest(old, { tag: HEAD_TAG });
      await new Promise((resolve) => setTimeout(resolve, 4_000));
      // Whatever is there now: the old head as it was, or one that has what it has not.
      const there = await on.target.resolve(HEAD_TAG);
      if (there.digest !== old.descriptor.digest) {
        const { client } = await read(on, Number.parseInt(shift, 10) * DAY);
        expect((await client.findTarget('v2')).role).toBe('names');
      }

      writeFileSync(clock, '+0');
      await expect
        .poll(() => daysLeft(on, ['v1', 'v2']), { timeout: 60_000, interval: 500 })
        .toBeGreaterThan(6);
      await publish(on, 'v4', 60_000);
      expect(await daysLeft(on, ['v1', 'v2', 'v4'])).toBeGreaterThan(6);
    },
  );

  it('does not make an old head young in one pass, a month later, and signs the right one when it is put back', async () => {
    const on = await ground('state');
    const pass = (offset: string) =>
      startPass(on, { LD_PRELOAD: fakeClockLibrary(), FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' });
    expect((await pass('+0')).status).toBe(0);
    const old = await on.target.fetchManifest(HEAD_TAG);
    const renewed = await pass('+8d');
    expect([renewed.status, renewed.output]).toEqual([0, expect.stringContaining('signed anew')]);
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
    expect([after.status, after.output]).toEqual([0, expect.stringContaining('signed anew')]);
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
