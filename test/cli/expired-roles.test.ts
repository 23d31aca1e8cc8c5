import { describe, expect, it } from 'vitest';
import { pushImage } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { served } from '../support/trust/served.ts';
import { daysLater, NOW } from '../support/tuf/editing.ts';

const LATER = daysLater(3);

/** A collection whose head is fresh, while the file of one role has expired. */
async function lab(role: string) {
  const place = await served();
  await storePlainKeys(place.home, 'publisher', 'root', 'online', 'ci');
  await pushImage(place.target, 'image', 'v1');
  const run = async (line: string, now = LATER) =>
    await place.run(line.replaceAll('REPO', place.name).split(' '), { now, env: { BULLA_PASSPHRASE: 'x' } });
  const done = async (line: string, now = NOW) =>
    expect(await run(line, now), line).toMatchObject({ code: 0 });
  await done(`init REPO${role === 'ci' ? '' : ` --expires ${role}=2d`}`);
  if (role === 'ci') await done('signer add REPO ci --key ci --expires 2d');
  await done(`sign REPO:v1 --name-only --no-proof${role === 'ci' ? ' --signer ci' : ''}`);
  return run;
}

describe('a collection of which one role has expired, and not its head', () => {
  it.each(['names', 'targets', 'ci'])('is shown, and renewed: %s', async (role) => {
    const run = await lab(role);
    for (const line of ['status REPO', 'ls REPO', 'tree REPO', 'inspect REPO', 'log REPO', 'signer ls REPO'])
      expect(await run(line), line).toMatchObject({ code: 0 });
    expect((await run('status REPO -o json')).json()).toMatchObject({
      trusted: false,
      findings: [{ kind: 'expiry', role, state: 'expired' }],
    });
    expect(await run('status REPO --check')).toMatchObject({ code: 20 });
    const verified = `verify REPO:v1${role === 'ci' ? ' --signer ci' : ''}`;
    expect(await run(verified)).toMatchObject({ code: 20 });
    const renewed = await run(`rotate REPO ${role} --renew`);
    expect(renewed, renewed.stderr).toMatchObject({ code: 0 });
    expect(await run(verified)).toMatchObject({ code: 0 });
  });

  it('says why it is not to be used', async () => {
    const run = await lab('names');
    expect((await run('status REPO')).stderr).toContain('cannot be used now: metadata of "names" expired');
  });
});
