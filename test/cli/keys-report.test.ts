import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { keysIn } from '../../src/actions/report/keys-report.ts';
import type { Report } from '../../src/actions/report/report.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { storePlainKeys } from '../support/plain-keys.ts';

interface Reported {
  readonly collections: readonly { place: string; failure: { code: string } | null }[];
  readonly keys: readonly {
    name: string | null;
    kept: string | null;
    ifLost: string;
    expires: string | null;
    uses: readonly { place: string; role: string; ifLost: string; threshold: number; keys: number }[];
  }[];
}

describe('bulla keys report', () => {
  it('shows by key what it signs in several collections that init made with the same keys', async () => {
    const cwd = await temporaryDirectory();
    const server = await serveRegistry({ dir: join(cwd, 'registry') });
    onTestFinished(() => server.close());
    const env = { BULLA_HOME: join(cwd, 'home') };
    await storePlainKeys(env.BULLA_HOME, 'publisher', 'root', 'online', 'idle', 'second');
    const [a, b, none] = ['a', 'b', 'none'].map((name) => `${server.address}/${name}`);
    const first = await bulla(['init', a as string], { env, cwd });
    expect(first, first.stderr).toMatchObject({ code: 0 });
    expect(first.stderr).toContain('any number of repositories');
    // No other key is made for the second one.
    const two = ['--publisher-key', 'publisher', '--publisher-key', 'second'];
    expect(await bulla(['init', b as string, ...two], { env, cwd })).toMatchObject({ code: 0 });
    const report = await bulla(['keys', 'report', a as string, b as string, '-o', 'json'], { env, cwd });
    expect(report, report.stdout).toMatchObject({ code: 0 });
    const { keys } = report.json() as unknown as Reported;
    expect(keys.map(({ name, ifLost }) => [name, ifLost])).toEqual([
      ['root', 'new-collection'],
      ['online', 'new-keys'],
      ['publisher', 'new-keys'],
      ['second', 'nothing'],
      ['idle', 'nothing'],
    ]);
    expect(keys[0]?.uses.map(({ place, role }) => `${place} ${role}`)).toEqual([
      ...[`${a} root`, `${a} targets`, `${b} root`, `${b} targets`],
    ]);
    expect(keys.at(-1)).toMatchObject({ uses: [], expires: null });
    const shown = await bulla(['key', 'report', a as string, none as string], { env, cwd });
    expect(shown).toMatchObject({ code: 11 });
    expect(shown.stdout).toContain('only a new collection helps');
    expect(shown.stderr).toContain(`${none} is left out of this report`);
    expect(await bulla(['keys', 'report'], { env, cwd })).toMatchObject({ code: 2 });
  });

  it.each<[string, string, number, number, string]>([
    ['the only root key', 'root', 1, 1, 'new-collection'],
    ['one of two root keys, both needed', 'root', 2, 2, 'new-collection'],
    ['one of three root keys, two needed', 'root', 2, 3, 'nothing'],
    ['the only key of targets', 'targets', 1, 1, 'new-keys'],
    ['the only key of a signer', 'ci', 1, 1, 'new-keys'],
    ['one of two keys of names', 'names', 1, 2, 'nothing'],
    ['one of two online keys, both needed', 'timestamp', 2, 2, 'new-keys'],
  ])('says what the loss of %s means', (_, role, threshold, count, ifLost) => {
    const keys = Array.from({ length: count }, (_, at) => ({
      keyid: `${at}`,
      scheme: 'ed25519',
      hasSigned: true,
    }));
    const expires = new Date(0);
    const one = {
      place: 'h/r',
      collection: 'id',
      roles: [{ role, threshold, expires, state: 'fine', keys }],
    };
    const report = { at: expires, collections: [one], worst: undefined } as unknown as Report;
    const stored = new Map([['hsm', 'pkcs11:object=root']]);
    expect(keysIn(report, stored).map((key) => key.ifLost)).toEqual([...keys.map(() => ifLost), 'nothing']);
    expect(keysIn(report, stored).at(-1)).toMatchObject({
      name: 'hsm',
      kept: 'pkcs11:object=root',
      uses: [],
    });
  });
});
