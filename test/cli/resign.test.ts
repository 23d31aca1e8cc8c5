import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { registryFor } from '../support/registry/open.ts';

const DAY = 86_400_000;
const DEMO_LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;

/** Somebody with a home, at some time. */
async function person() {
  const home = await temporaryDirectory();
  return (argv: readonly string[], days = 0) =>
    bulla(argv, {
      env: { BULLA_HOME: join(home, 'bulla'), BULLA_PASSPHRASE: 'x' },
      cwd: home,
      now: new Date(Date.now() + days * DAY),
    });
}

describe('bulla resign by hand', () => {
  it('finds the online key among those of the key store, and signs when it is due or late', async () => {
    const registry = await registryFor();
    const place = `${registry.host}/team/app`;
    const run = await person();
    expect((await run(['init', place])).code).toBe(0);
    const early = await run(['resign', place, '-o', 'json']);
    expect(early.json()).toMatchObject({ fresh: true, collections: [{ place, outcome: 'fresh' }] });
    const due = await run(['resign', place], 8);
    expect([due.code, due.stdout]).toEqual([0, expect.stringContaining('re-signed')]);
    expect((await run(['resign', place, '--renew'], 8)).stdout).toContain('re-signed');
    // An expired head is signed by whoever knows it, and by nobody else.
    const other = await person();
    const { code, stderr } = await other(['resign', place, '--tofu'], 40);
    expect(code, stderr).toBe(20);
    expect((await run(['resign', place], 40)).stdout).toContain('re-signed');
  });

  it('serves a layout as well', async () => {
    const run = await person();
    await run(['copy', `oci:${DEMO_LAYOUT}`, 'oci:images']);
    expect((await run(['init', 'oci:images', '--collection', 'registry.example.com/team/app'])).code).toBe(0);
    const flags = ['oci:images', '--collection', 'registry.example.com/team/app'];
    const { code, stdout, stderr } = await run(['resign', ...flags], 8);
    expect([code, stdout, stderr]).toEqual([
      0,
      expect.stringContaining('oci:images: re-signed'),
      expect.any(String),
    ]);
  });

  it('says that the key is another', async () => {
    const registry = await registryFor();
    const place = `${registry.host}/team/app`;
    const run = await person();
    await run(['init', place]);
    const other = await person();
    await other(['key', 'generate', 'online']);
    const { code, stderr } = await other(['resign', place, '--tofu']);
    expect([code, stderr]).toEqual([12, expect.stringContaining('online key')]);
  });

  it('says that there is no collection, and that nobody is believed', async () => {
    const registry = await registryFor();
    const place = `${registry.host}/team/app`;
    const run = await person();
    expect((await run(['resign', place])).code).not.toBe(0);
    await (await person())(['init', place]);
    expect((await run(['resign', place])).code).toBe(25);
  });
});
