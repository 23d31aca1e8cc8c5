import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NotaryRig, startNotaryRig } from './notary-rig.ts';
import { bulla, havePeers, type Outcome } from './peers.ts';

const hexOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** `NAME DIGEST ROLE` of each row of `notary list`. */
function rowsOf(listed: string): string[] {
  return listed
    .split('\n')
    .map((line) => /^(\S+)\s+([0-9a-f]{64})\s+\d+\s+(\S+)\s*$/.exec(line))
    .flatMap((match) => (match === null ? [] : [`${match[1]} ${match[2]} ${match[3]}`]))
    .sort();
}

describe.runIf(havePeers('notary', 'notary-server', 'notary-signer'))('a Notary server', () => {
  let rig: NotaryRig;
  const GUN = 'registry.example.com/team/app';
  beforeAll(async () => {
    rig = await startNotaryRig();
  });
  afterAll(() => rig.stop());

  const run = (args: readonly string[], home = 'home'): Promise<Outcome> =>
    bulla([...args, '--ca-file', rig.caFile], {
      cwd: rig.directory,
      env: { HOME: rig.directory, BULLA_HOME: join(rig.directory, home) },
    });

  async function json(args: readonly string[], home?: string): Promise<Record<string, unknown>> {
    const outcome = await run([...args, '-o', 'json'], home);
    expect(outcome.status, outcome.stdout + outcome.stderr).toBe(0);
    return JSON.parse(outcome.stdout) as Record<string, unknown>;
  }

  const add = (gun: string, name: string, ...flags: string[]): Promise<string> =>
    rig.notary('addhash', gun, name, '401', '--sha256', hexOf(name), ...flags, '-p');

  /** What `inspect` and `notary list` say must be the same. */
  async function expectSame(gun: string): Promise<Record<string, unknown>> {
    const shown = await json(['inspect', gun, '--notary', rig.url]);
    const names = shown['names'] as readonly { name: string; digest: string; role: string }[];
    const rows = names
      .map(({ name, digest, role }) => `${name} ${digest.slice('sha256:'.length)} ${role}`)
      .sort();
    expect(rows).toEqual(rowsOf(await rig.notary('list', gun)));
    return shown;
  }

  it('shows what notary list shows: delegations, paths, nesting, rotations, every type of key', async () => {
    await rig.notary('init', GUN, '-p');
    await add(GUN, 'v1');
    const keys = {
      alice: await rig.certificate('alice'),
      bob: await rig.certificate('bob', 'rsa:2048'),
      carol: await rig.certificate('carol', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'),
    };
    await rig.notary('delegation', 'add', GUN, 'targets/releases', keys.alice, keys.bob, '--all-paths');
    await rig.notary('delegation', 'add', GUN, 'targets/alice', keys.alice, '--all-paths');
    await rig.notary('delegation', 'add', GUN, 'targets/carol', keys.carol, '--paths', 'rc-,dev');
    await rig.notary('delegation', 'add', GUN, 'targets/bob', keys.bob, '--all-paths', '-p');
    for (const name of ['alice', 'bob', 'carol'])
      await rig.notary('key', 'import', join(rig.directory, `${name}.key`), '--role', name);
    await add(GUN, 'v2', '--roles', 'targets/releases', '--roles', 'targets/alice');
    await add(GUN, 'v2', '--roles', 'targets/bob');
    await add(GUN, 'rc-1', '--roles', 'targets/carol');
    await add(GUN, 'a&b<c>', '--roles', 'targets/bob');
    const shown = await expectSame(GUN);
    expect(shown['released']).toMatchObject([
      { name: 'v1', signers: [] },
      { name: 'v2', signers: ['alice', 'bob'] },
    ]);
    await rig.notary('key', 'rotate', GUN, 'snapshot', '-r');
    await rig.notary('key', 'rotate', GUN, 'targets');
    await rig.notary('key', 'rotate', GUN, 'timestamp', '-r');
    await rig.notary('key', 'rotate', GUN, 'root');
    await add(GUN, 'v3');
    expect(await expectSame(GUN)).toMatchObject({ root: { version: 5 } });
  });

  it('hides names where the paths of a delegation were narrowed afterwards', async () => {
    const gun = `${GUN}-hidden`;
    await rig.notary('init', gun, '-p');
    const certificate = await rig.certificate('dave');
    await rig.notary('delegation', 'add', gun, 'targets/dave', certificate, '--paths', 'v,rc-', '-p');
    await rig.notary('key', 'import', join(rig.directory, 'dave.key'), '--role', 'dave');
    await add(gun, 'v1', '--roles', 'targets/dave');
    await add(gun, 'rc-1', '--roles', 'targets/dave');
    await rig.notary('delegation', 'remove', gun, 'targets/dave', '--paths', 'v', '-y', '-p');
    const shown = await expectSame(gun);
    expect(shown).toMatchObject({ names: [{ name: 'rc-1' }], hidden: [{ name: 'v1' }] });
  });

  it('is verified from the first root after rotations, and remembered', async () => {
    const gun = `${GUN}-pins`;
    await rig.notary('init', gun, '-p');
    await add(gun, 'v1');
    const first = (await json(['pin', gun, '--notary', rig.url]))['keys'] as readonly { keyid: string }[];
    await rig.notary('key', 'rotate', gun, 'root');
    const [{ keyid = '' } = {}] = first;
    const verify = ['verify', `${gun}:v1`, '--notary', rig.url, '--no-drift'];
    expect(await run([...verify, '--root-key-id', keyid])).toMatchObject({
      status: 0,
      stdout: `${gun}@sha256:${hexOf('v1')}\n`,
    });
    expect(await run(verify)).toMatchObject({ status: 0 });
    expect(await run(verify, 'other')).toMatchObject({ status: 25 });
    expect(await run([...verify.with(1, `${gun}-none:v1`), '--tofu'])).toMatchObject({ status: 11 });
    // Without its certificate nothing of the server is believed; it may lie where docker looks for it.
    const config = join(rig.directory, 'docker');
    const env = { BULLA_HOME: join(rig.directory, 'home'), DOCKER_CONFIG: config };
    expect((await bulla(verify, { env })).status).toBe(3);
    const tls = join(config, 'tls', new URL(rig.url).host);
    mkdirSync(tls, { recursive: true });
    copyFileSync(rig.caFile, join(tls, 'ca.crt'));
    expect((await bulla(verify, { env })).status).toBe(0);
  });

  it('is saved byte for byte, and docker’s cache is read as well', async () => {
    const gun = `${GUN}-dump`;
    await rig.notary('init', gun, '-p');
    for (const name of ['v1', 'v2', 'v3']) await add(gun, name);
    await rig.notary('list', gun);
    const dumped = await json(['export', 'notary-dump', 'dump', gun, GUN, '--server', rig.url]);
    expect(dumped['repositories']).toMatchObject([{ outcome: 'saved', names: 3 }, { outcome: 'saved' }]);
    const cache = join(rig.directory, 'trust');
    for (const place of [join(rig.directory, 'dump'), cache]) {
      const verify = ['verify', `${gun}:v2`, '--notary', place, '--no-drift', '--tofu', '--offline'];
      expect(await run(verify), place).toMatchObject({ status: 0, stdout: `${gun}@sha256:${hexOf('v2')}\n` });
    }
    const saved = readFileSync(join(rig.directory, 'dump/v2', gun, '_trust/tuf/targets.json'));
    expect(saved.equals(readFileSync(join(cache, 'tuf', gun, 'metadata/targets.json')))).toBe(true);
  });
});
