import { writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hashSync } from 'bcryptjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { PasswordFile } from '../../../src/servers/registry/passwords.ts';
import { type Asker, clientOf, SignInQueue } from '../../../src/servers/registry/sign-in-queue.ts';
import { type Client, startTestRegistry, temporaryDirectory } from './client.ts';

const ATTACKERS = 150;
/** Some 20 ms of the only thread. */
const COST = 8;

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

async function passwordFile(lines: Record<string, string>): Promise<string> {
  const path = join(await temporaryDirectory(), 'htpasswd');
  const text = Object.entries(lines).map(([user, hash]) => `${user}:${hash}\n`);
  await writeFile(path, text.join(''));
  return path;
}

async function status(client: Client, user: string, password: string): Promise<number> {
  return (await client.send('GET', '/v2/', { headers: { Authorization: basic(user, password) } })).status;
}

/** Many connections that guess for as long as the test runs. @returns what they were answered so far */
function attack(
  { host, port }: Client,
  guess: (attacker: number, attempt: number) => [user: string, password: string],
  keepAlive: boolean,
): number[] {
  const agent = new Agent({ keepAlive, maxSockets: ATTACKERS });
  const answers: number[] = [];
  let isOver = false;
  onTestFinished(() => {
    isOver = true;
    agent.destroy();
  });
  const once = (attacker: number, attempt: number): Promise<void> =>
    new Promise((resolve) => {
      const headers = { Authorization: basic(...guess(attacker, attempt)) };
      const sent = request({ host, port, path: '/v2/', agent, headers }, (response) => {
        answers.push(response.statusCode ?? 0);
        response.resume();
        response.on('close', resolve);
      });
      sent.on('error', () => resolve());
      sent.end();
    });
  for (let n = 0; n < ATTACKERS; n++)
    void (async () => {
      for (let attempt = 0; !isOver; attempt++) {
        await once(n, attempt);
        // What is measured is who has the turn, not how many requests a second a process takes.
        await sleep(50);
      }
    })();
  return answers;
}

describe('connections with wrong passwords', () => {
  const hash = hashSync('right', COST);
  const users = { alice: hash, bob: hash };
  const guesses: [string, boolean, (n: number, i: number) => [string, string]][] = [
    ['for accounts that do not exist', true, (n, i) => [`nobody-${n}-${i}`, 'x']],
    ['for accounts that do not exist, on new connections', false, (n, i) => [`nobody-${n}-${i}`, 'x']],
    ['for another account', true, (n, i) => ['alice', `guess ${n} ${i}`]],
    ['for another account, on new connections', false, (n, i) => ['alice', `guess ${n} ${i}`]],
    ['for this account', true, (n, i) => ['bob', `guess ${n} ${i}`]],
    ['for this account, the same one', true, () => ['bob', 'guess']],
    ['that are long', true, (n, i) => ['bob', `${n} ${i} ${'x'.repeat(80)}`]],
    ['for all accounts', true, (n, i) => [n % 2 === 0 ? 'bob' : 'alice', `guess ${n} ${i}`]],
  ];
  it.each(guesses)('keep nobody out: %s', async (_, keepAlive, guess) => {
    const { client } = await startTestRegistry({ htpasswd: await passwordFile(users) });
    const answers = attack(client, guess, keepAlive);
    await expect.poll(() => answers.length, { timeout: 20_000 }).toBeGreaterThan(3);
    const started = performance.now();
    expect(await status(client, 'bob', 'right')).toBe(200);
    const took = performance.now() - started;
    expect(took).toBeLessThan(5_000);
    // Once signed in, it takes no comparison, and so no turn.
    for (let i = 0; i < 5; i++) expect(await status(client, 'bob', 'right')).toBe(200);
    expect(new Set(answers).has(200)).toBe(false);
  });
});

describe('who is next', () => {
  type Who = Partial<Asker> & { readonly name: string };

  /** Names in the order in which they had their turn; all of them fail. */
  async function order(before: readonly Who[], asking: readonly Who[]): Promise<string[]> {
    const queue = new SignInQueue(() => 0);
    const turns: string[] = [];
    const ask = ({ name, ...who }: Who): Promise<unknown> =>
      queue
        .compare(
          { client: '10.0.0.1', user: 'alice', connection: {}, wasGood: false, isGone: () => false, ...who },
          async () => {
            turns.push(name);
            return false;
          },
        )
        .catch(() => turns.push(`${name} was sent away`));
    for (const who of before) await ask(who);
    turns.length = 0;
    let release = (): void => undefined;
    const busy = new Promise<void>((resolve) => (release = resolve));
    const first = queue.compare(
      { client: 'x', user: 'x', connection: {}, wasGood: false, isGone: () => false },
      async () => {
        await busy;
        return true;
      },
    );
    const all = asking.map(ask);
    release();
    await Promise.all([first, ...all]);
    return turns;
  }

  const connection = {};
  const guesses = (count: number, more: Partial<Asker> = {}): Who[] =>
    [...Array(count).keys()].map((n) => ({ name: `guess ${n}`, ...more }));

  it.each<[string, Who[], Who[], string]>([
    ['comes from another address', guesses(3), [{ name: 'a' }, { name: 'b', client: '10.0.0.2' }], 'b'],
    ['wants another account', guesses(3), [{ name: 'a' }, { name: 'b', user: 'bob' }], 'b'],
    [
      'wants an account that exists',
      guesses(3, { user: undefined }),
      [
        { name: 'a', user: undefined },
        { name: 'b', user: 'bob' },
      ],
      'b',
    ],
    [
      'has a connection without failures',
      guesses(3, { connection }),
      [{ name: 'a', connection }, { name: 'b' }],
      'b',
    ],
    [
      'was right before',
      [],
      [
        { name: 'a', client: '10.0.0.9', user: 'carol' },
        { name: 'b', wasGood: true },
      ],
      'b',
    ],
    [
      'is one beside many that wait and have not failed yet',
      [],
      [...guesses(20), { name: 'b', client: '10.0.0.2', user: 'bob' }],
      'b',
    ],
  ])('is who %s', async (_, before, asking, expected) => {
    expect((await order(before, asking))[0]).toBe(expected);
  });

  it('are the last and the first to come by turns, where nothing else tells', async () => {
    expect(
      await order(
        [],
        ['a', 'b', 'c', 'd'].map((name) => ({ name })),
      ),
    ).toEqual(['a', 'd', 'b', 'c']);
  });

  it('are not those who have gone', async () => {
    const turns = await order([], [{ name: 'a', isGone: () => true }, { name: 'b' }]);
    expect(turns.sort()).toEqual(['a was sent away', 'b']);
  });

  it('are no more than can wait, and it is one of many that is sent away', async () => {
    const asking = [...guesses(600), { name: 'b', client: '10.0.0.2', user: 'bob' }];
    const turns = await order([], asking);
    const away = turns.filter((turn) => turn.endsWith('was sent away'));
    expect(away.length).toBe(601 - 512);
    expect(away).not.toContain('b was sent away');
  });
});

describe('an address', () => {
  it.each([
    ['10.1.2.3', '10.1.2.3'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    [undefined, ''],
  ])('%s is a client: %s', (address, client) => {
    expect(clientOf(address)).toBe(client);
  });
});

describe('a password', () => {
  const at72 = 'x'.repeat(72);
  it.each([
    ['of 72 bytes', at72, at72, true],
    ['of 72 bytes that are 24 characters', '€'.repeat(24), '€'.repeat(24), true],
    ['of 73 bytes', at72, `${at72}y`, false],
    ['of 73 bytes, whose hash was made of it', `${at72}y`, `${at72}y`, false],
    ['of 200 bytes', at72, `${at72}${'z'.repeat(128)}`, false],
    ['of 25 characters that are 75 bytes', '€'.repeat(24), '€'.repeat(25), false],
    ['that is repeated after a zero byte', 'secret', 'secret\0secret', false],
    ['with a zero byte at its end', 'secret', 'secret\0', false],
    ['with other bytes', 'pässwörd', 'pässwörd', true],
    ['in another normal form', 'p\u00e4ss', 'pa\u0308ss', false],
  ])('%s', async (_, made, given, good) => {
    const { client } = await startTestRegistry({
      htpasswd: await passwordFile({ alice: hashSync(made, 4) }),
    });
    for (let i = 0; i < 2; i++) expect(await status(client, 'alice', given)).toBe(good ? 200 : 401);
  });
});

describe('the time of a refusal', () => {
  const client = { client: 'x', connection: {}, isGone: () => false };

  async function opened(users: Record<string, string>): Promise<{ file: PasswordFile; compared: string[] }> {
    const compared: string[] = [];
    const file = await PasswordFile.open(
      await passwordFile(users),
      () => undefined,
      async (_, hash) => compared.push(hash) > 0 && false,
    );
    return { file, compared };
  }

  it('is one comparison for each name, of a hash that is the same whenever that name comes', async () => {
    const { file, compared } = await opened({ alice: hashSync('x', 4), bob: hashSync('x', 6) });
    const costs = new Set<string>();
    for (let n = 0; n < 40; n++) {
      const tries = ['a', 'b'].map((password) => file.verify(`nobody-${n}`, password, client));
      expect(await Promise.all(tries)).toEqual([false, false]);
      const [first, second, ...more] = compared.splice(0);
      expect([first === second, more]).toEqual([true, []]);
      costs.add(first?.slice(0, 7) ?? '');
    }
    expect(costs.size).toBe(2);
    await file.verify('alice', 'wrong', client);
    expect(compared).toHaveLength(1);
  });

  it.each(['nobody', 'alice'])(
    'is the same again for ten seconds, and for what is too long: %s',
    async (user) => {
      const { file, compared } = await opened({ alice: hashSync('x', 4) });
      for (const password of ['wrong', 'wrong', 'x'.repeat(73), 'a\0b'])
        await file.verify(user, password, client);
      expect(compared).toHaveLength(1);
    },
  );

  it('is that of one comparison where the same is asked for at the same time', async () => {
    const { file, compared } = await opened({ alice: hashSync('x', 4) });
    await Promise.all([...Array(50).keys()].map(() => file.verify('alice', 'wrong', client)));
    expect(compared).toHaveLength(1);
  });
});
