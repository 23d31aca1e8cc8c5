import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { emptyRegistry } from '../support/empty-registry.ts';

describe('the connection that a command begins early', () => {
  it('is the only one of a command that asks once', async () => {
    const { host, connections } = await emptyRegistry();
    expect(await bulla(['ls', `${host}/app`, '--plain-http'])).toMatchObject({ code: 11 });
    expect(connections()).toBe(1);
  });

  it.each([
    ['by a flag', ['--offline'], {}, ''],
    ['by the environment', [], { BULLA_OFFLINE: '1' }, ''],
    ['by the configuration file', [], {}, 'offline: true\n'],
  ])('is not begun where sockets are forbidden %s', async (_, flags, env, config) => {
    const { host, connections } = await emptyRegistry();
    const home = join(await temporaryDirectory(), 'bulla');
    mkdirSync(home);
    if (config !== '') writeFileSync(join(home, 'config.yaml'), config);
    const outcome = await bulla(['ls', `${host}/app`, ...flags], { env: { BULLA_HOME: home, ...env } });
    expect(outcome.stderr).toContain('--offline opens no socket');
    expect(connections()).toBe(0);
  });

  it('is not begun for a reference that is none', async () => {
    const { host, connections } = await emptyRegistry();
    await bulla(['verify', `${host}/UPPER:v1`]);
    await bulla(['verify', `http://${host}/app:v1`]);
    expect(connections()).toBe(0);
  });
});
