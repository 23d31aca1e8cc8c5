import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';

interface Ground {
  readonly repository: string;
  readonly usb: string;
  /** On the machine without a network, where every root key is. Connecting to anything fails the test. */
  offline(line: string, typed?: string): Promise<CliResult>;
  /** On the machine with the publisher's and the online key. */
  online(line: string, typed?: string): Promise<CliResult>;
  push(tag: string): Promise<void>;
}

/** The words of a line; a quoted one is one word. */
const words = (line: string): string[] =>
  [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');

async function ground(...roots: string[]): Promise<Ground> {
  const cwd = await temporaryDirectory();
  const usb = join(cwd, 'usb');
  const server = await serveRegistry({ dir: join(cwd, 'registry') });
  onTestFinished(() => server.close());
  await storePlainKeys(join(cwd, 'connected'), 'publisher', 'online');
  await storePlainKeys(join(cwd, 'vault'), ...roots);
  await mkdir(usb);
  for (const [home, names] of [
    ['connected', ['publisher', 'online']],
    ['vault', roots],
  ] as const)
    for (const name of names)
      await writeFile(join(usb, `${name}.pub`), await readFile(join(cwd, home, 'keys', `${name}.pub`)));
  const on = async (machine: string, line: string, typed?: string): Promise<CliResult> =>
    await bulla(words(line), {
      cwd: usb,
      env: { BULLA_HOME: join(cwd, machine) },
      ...(typed !== undefined && { typed: true, stdin: typed }),
    });
  return {
    ...{ repository: `${server.address}/team/app`, usb },
    offline: async (line, typed) => {
      const connect = vi.spyOn(Socket.prototype, 'connect').mockImplementation(() => {
        throw new Error('a connection was opened');
      });
      try {
        return await on('vault', line, typed);
      } finally {
        expect(connect).not.toHaveBeenCalled();
        connect.mockRestore();
      }
    },
    online: async (line, typed) => await on('connected', line, typed),
    async push(tag) {
      const target = openRepository(parseReference(`${server.address}/team/app`) as RegistryReference);
      onTestFinished(() => target.close());
      await pushImage(target, 'team/app', tag);
    },
  };
}

const PUBLIC = '--publisher-key publisher.pub --online-key online.pub';

interface Told {
  readonly id: string | null;
  readonly change: string;
  readonly missing: readonly { role: string; open: string[] }[];
  readonly signatures: readonly { role: string; signedBy: string[] }[];
  readonly publish: string | null;
}

const told = (result: CliResult): Told => {
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return result.json() as unknown as Told;
};

/** A ceremony with one key, up to the file. */
async function begun(at: Ground, name = 'root.json'): Promise<Told> {
  return told(
    await at.offline(
      `ceremony begin ${at.repository} --root-key root ${PUBLIC} --out ${name} --person Ada --yes -o json`,
    ),
  );
}

describe('bulla ceremony', () => {
  it('makes a collection whose root key never leaves the machine without a network', async () => {
    const at = await ground('root');
    await at.push('v1');
    const { publish, missing } = await begun(at);
    expect(missing).toEqual([]);
    const record = await readFile(join(at.usb, 'root.json.record.txt'), 'utf8');
    expect(record).toContain('Ada signs');
    expect(Math.max(...record.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(await at.online((publish ?? '').replace('bulla ', ''))).toMatchObject({ code: 0 });
    expect(await at.online(`sign ${at.repository}:v1 --key publisher`)).toMatchObject({ code: 0 });
    expect(await at.online(`verify ${at.repository}:v1`)).toMatchObject({ code: 0 });
  });

  it('has two of three people sign in turn, each of whom types the digest, and goes on after a crash', async () => {
    const at = await ground('a', 'b', 'c');
    const roots = '--root-key a.pub --root-key b.pub --root-key c.pub --threshold root=2';
    // The first one comes with a name that the terminal must not act on, and leaves.
    const first = `a\nAda \u001b[2J\n`;
    const line = `ceremony begin ${at.repository} ${roots} ${PUBLIC} --out root.json`;
    const shown = /change ([0-9a-f]{64})/;
    // Nothing is signed where another digest is typed.
    const refused = await at.offline(line, `${first}00000000\n00000000\n00000000\n`);
    expect(refused).toMatchObject({ code: 130 });
    const digest = shown.exec(refused.stderr)?.[1] ?? '';
    expect(told(await at.offline('ceremony show root.json -o json')).signatures[0]?.signedBy).toEqual([]);
    const again = await at.offline(
      'ceremony sign root.json',
      `${first}${digest.slice(0, 8)} ${digest.slice(8, 16)}\n\n`,
    );
    expect(again, again.stderr).toMatchObject({ code: 0 });
    expect(told(await at.offline('ceremony show root.json -o json'))).toMatchObject({
      change: digest,
      id: null,
      signatures: [{ role: 'root', signedBy: [expect.any(String)] }],
    });
    // The second completes root; then the first has targets to sign.
    const rest = `c\nCarl\n${digest.slice(0, 16)}\na\nAda\n`;
    expect(await at.offline('ceremony sign root.json', `${rest}${digest.slice(0, 16)}\n`)).toMatchObject({
      code: 0,
    });
    const done = told(await at.offline('ceremony show root.json -o json'));
    expect(done).toMatchObject({ change: digest, missing: [] });
    const record = await readFile(join(at.usb, 'root.json.record.txt'), 'utf8');
    expect(record).not.toContain('\u001b');
    expect(record.match(/signs$/gm)).toHaveLength(3);
    expect(await at.online((done.publish ?? '').replace('bulla ', ''))).toMatchObject({ code: 0 });
    expect(await at.online(`signer ls ${at.repository}`)).toMatchObject({ code: 0 });
  });

  it('signs with several keys of one command line, in turn and again', async () => {
    const at = await ground('a', 'b', 'c');
    const roots = '--root-key a --root-key b.pub --root-key c --threshold root=2';
    const done = told(
      await at.offline(`ceremony begin ${at.repository} ${roots} ${PUBLIC} --out root.json --yes -o json`),
    );
    expect(done.missing).toEqual([]);
    expect(done.signatures.map(({ signedBy }) => signedBy.length)).toEqual([2, 2, 0]);
  });

  it('signs a change of root that another machine has exported, and shows what it changes', async () => {
    const at = await ground('root', 'next');
    await at.push('v1');
    expect(await at.online(((await begun(at)).publish ?? '').replace('bulla ', ''))).toMatchObject({
      code: 0,
    });
    for (const [what, keys] of [
      ['--renew --expires 2y', ['root']],
      ['--key next.pub', ['root', 'next']],
    ] as const) {
      const name = `${keys.length}.json`;
      const exported = await at.online(`rotate ${at.repository} root ${what} --export-unsigned ${name}`);
      const { change } = told(await at.offline(`ceremony show ${name} -o json`));
      expect(exported).toMatchObject({ code: 0, stderr: expect.stringContaining(`change ${change}\n`) });
      const signed = await at.offline(
        `ceremony sign ${name} ${keys.map((key) => `--key ${key} --person ${key}`).join(' ')} --change ${change} --yes -o json`,
      );
      expect(told(signed).missing).toEqual([]);
      expect(signed.stderr).toContain('root 1 →'.replace('1', String(keys.length)));
      expect(await at.online((told(signed).publish ?? '').replace('bulla ', ''))).toMatchObject({ code: 0 });
    }
    expect(await at.online(`sign ${at.repository}:v1 --key publisher`)).toMatchObject({ code: 0 });
    expect(await at.online(`verify ${at.repository}:v1`)).toMatchObject({ code: 0 });
  });

  it('carries the file to publishers on other machines, who sign names after root', async () => {
    const at = await ground('root', 'other');
    const names = '--publisher-key publisher.pub --publisher-key other.pub --threshold names=2';
    const begun = told(
      await at.offline(
        `ceremony begin ${at.repository} --root-key root ${names} --online-key online.pub --out root.json --yes -o json`,
      ),
    );
    expect(begun.missing).toEqual([]);
    const publish = (begun.publish ?? '').replace('bulla ', '');
    expect((await at.online(`${publish} -o json`)).json()).toMatchObject({ code: 'threshold-not-met' });
    const sign = `ceremony sign root.json --key other --change ${begun.change} --yes -o json`;
    expect(told(await at.offline(sign)).signatures.at(-1)?.signedBy).toHaveLength(1);
    expect(await at.online(publish)).toMatchObject({ code: 0 });
    await at.push('v1');
    expect((await at.online(`signer ls ${at.repository}`)).stdout).toContain('names  2 of 2');
  });

  it('stages the collection where the online key is elsewhere', async () => {
    const at = await ground('root');
    await writeFile(join(at.usb, 'none'), '');
    const { publish } = await begun(at);
    await storePlainKeys(join(at.usb, '../third'), 'other');
    const third = async (line: string): Promise<CliResult> =>
      await bulla(words(line), { cwd: at.usb, env: { BULLA_HOME: join(at.usb, '../third') } });
    const staged = await third(
      `${(publish ?? '').replace('bulla ', '')} --publisher-key ../connected/keys/publisher.key`,
    );
    expect(staged, staged.stderr).toMatchObject({ code: 31 });
    const id = /--root-key-id (\S+)/.exec(publish ?? '')?.[1] ?? '';
    expect(await at.online(`init ${at.repository} --complete --root-key-id ${id}`)).toMatchObject({
      code: 0,
    });
  });
});

/** What the file of a beginning holds, for those who alter it. */
interface Altered {
  readonly keys: Record<'root' | 'names' | 'online', object>;
  readonly lifetimes: object;
  readonly files: object;
}

describe('what a ceremony refuses', () => {
  it.each([
    ['hashivault://root', 'usage'],
    ['openbao://root', 'usage'],
    ['awskms:///alias/root', 'usage'],
    ['gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K', 'usage'],
    ['azurekms://v.vault.azure.net/root', 'usage'],
    ['k8s://ns/root', 'usage'],
    ['./publisher.pub', 'untrusted-identity'],
  ])('the key %s', async (key, code) => {
    const at = await ground('root');
    const { change } = await begun(at);
    const result = await at.offline(`ceremony sign root.json --key ${key} --change ${change} --yes -o json`);
    expect(result.json()).toMatchObject({ ok: false, code });
  });

  it.each<[string, (file: Altered) => unknown, string]>([
    ['a lower threshold', ({ keys }) => Object.assign(keys['root'], { threshold: 1 }), 'signature-mismatch'],
    ['another publisher', ({ keys }) => Object.assign(keys, { names: keys['online'] }), 'signature-mismatch'],
    ['a longer life', ({ lifetimes }) => Object.assign(lifetimes, { root: 1e9 }), 'signature-mismatch'],
    [
      'another repository',
      (file) => Object.assign(file, { collection: 'evil.example/x' }),
      'signature-mismatch',
    ],
    ['other versions', (file) => Object.assign(file, { draw: 7 }), 'signature-mismatch'],
    ['the future', (file) => Object.assign(file, { made: '2099-01-01T00:00:00Z' }), 'trust-invalid'],
    ['an unknown member', (file) => Object.assign(file, { more: 1 }), 'content-invalid'],
    ['targets without root', ({ files }) => Object.assign(files, { root: undefined }), 'content-invalid'],
    ['a threshold that no keys meet', ({ keys }) => Object.assign(keys['names'], { threshold: 9 }), 'usage'],
  ])('a file that was signed, with %s', async (_, alter, code) => {
    const at = await ground('a', 'b');
    const roots = '--root-key a --root-key b --threshold root=2';
    const { publish, change } = told(
      await at.offline(`ceremony begin ${at.repository} ${roots} ${PUBLIC} --out root.json --yes -o json`),
    );
    const path = join(at.usb, 'root.json');
    const file = JSON.parse(await readFile(path, 'utf8'));
    alter(file);
    await writeFile(path, JSON.stringify(file));
    const signed = await at.offline(`ceremony sign root.json --change ${change} --yes -o json`);
    expect(signed.json()).toMatchObject({ ok: false, code });
    const published = await at.online(`${(publish ?? '').replace('bulla ', '')} -o json`);
    expect(published.json()).toMatchObject({ ok: false, code });
  });

  it('without a terminal and without answers, and names the flags', async () => {
    const at = await ground('root');
    await begun(at);
    const change = told(await at.offline('ceremony show root.json -o json')).change;
    const begin = `ceremony begin ${at.repository} --root-key root ${PUBLIC} --out other.json`;
    const { code, stderr } = await at.offline(begin);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /no terminal to ask on.*\nhint: without a terminal: bulla ceremony sign FILE --key KEY --person NAME --change [0-9a-f]{64} --yes/,
    );
    expect(await at.offline(`ceremony sign root.json --change ${change} --yes`)).toMatchObject({ code: 0 });
  });

  it('--yes without the digest, another digest, and a file that is there', async () => {
    const at = await ground('root');
    const { change } = await begun(at);
    expect(await at.offline('ceremony sign root.json --yes')).toMatchObject({ code: 2 });
    expect(await at.offline(`ceremony sign root.json --yes --change ${change.slice(0, 8)}`)).toMatchObject({
      code: 30,
    });
    expect(await at.offline(`ceremony sign root.json --change ${'0'.repeat(64)} --yes`)).toMatchObject({
      code: 30,
    });
    const again = `ceremony begin ${at.repository} --root-key root ${PUBLIC} --out root.json --yes`;
    expect(await at.offline(again)).toMatchObject({ code: 30 });
  });

  it('to publish what is not signed, was signed for another repository, or by unknown keys', async () => {
    const at = await ground('a', 'b');
    const roots = '--root-key a --root-key b.pub --threshold root=2';
    const half = told(
      await at.offline(`ceremony begin ${at.repository} ${roots} ${PUBLIC} --out half.json --yes -o json`),
    );
    expect(half.missing).toMatchObject([{ role: 'root' }]);
    const init = `init ${at.repository} --import-signed`;
    const id = half.signatures[0]?.signedBy[0];
    expect((await at.online(`${init} half.json --root-key-id ${id} -o json`)).json()).toMatchObject({
      code: 'threshold-not-met',
    });
    const whole = told(
      await at.offline(
        `ceremony begin ${at.repository} --root-key a ${PUBLIC} --out whole.json --yes -o json`,
      ),
    );
    expect(
      (await at.online(`${init} whole.json --root-key-id ${'0'.repeat(64)} -o json`)).json(),
    ).toMatchObject({ code: 'untrusted-identity' });
    expect((await at.online(`${init} whole.json -o json`)).json()).toMatchObject({ code: 'usage' });
    const other = `init ${at.repository}2 --import-signed whole.json --root-key-id ${id} -o json`;
    expect((await at.online(other)).json()).toMatchObject({ code: 'conflict' });
    // A person compares the collection with the record instead.
    expect(await at.online(`${init} whole.json`, `${(whole.id ?? '').slice(0, 16)}\n`)).toMatchObject({
      code: 0,
    });
    expect((await at.online(`${init} whole.json --root-key-id ${id} -o json`)).json()).toMatchObject({
      code: 'conflict',
    });
  });
});
